-- pg_writer.upsert_incidents
-- One row per incident of the flush, its facts merged already (domain/incident.rs). A fact is taken over where its audit is
-- later than the one that stated it so far. Rows are locked in the order of their keys. What changes for the totals goes into
-- the deltas, summed up over the flush.
WITH changed AS (
INSERT INTO resource_action_traces AS t (
    bucket, id, correlation_id, action_timestamp, alert_name, alert_name_by, alert_severity, alert_severity_by,
    action_type, action_type_by, namespace, namespace_by, cluster_name, cluster_name_by, environment, environment_by,
    alert_fingerprint, alert_fingerprint_by, target_resource, target_resource_by, model_used, model_used_by,
    model_confidence, model_confidence_by, execution_status, start_time, end_time, duration_ms, error_message,
    execution_status_by, created_at, updated_at, counted_before, revision)
SELECT
    u.bucket, i.id, u.correlation_id, i.action_timestamp, u.alert_name, u.alert_name_by, u.alert_severity,
    u.alert_severity_by, u.action_type, u.action_type_by, u.namespace, u.namespace_by, u.cluster_name,
    u.cluster_name_by, u.environment, u.environment_by, u.alert_fingerprint, u.alert_fingerprint_by, u.target_resource,
    u.target_resource_by, u.model_used, u.model_used_by, u.model_confidence, u.model_confidence_by,
    COALESCE(u.execution_status, 'pending'), u.start_time, u.end_time, u.duration_ms, u.error_message,
    u.execution_status_by, u.received_at, u.received_at, '{}', 1
FROM unnest(
    $1::int[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], $8::uuid[], $9::text[],
    $10::uuid[], $11::text[], $12::uuid[], $13::text[], $14::uuid[], $15::text[], $16::uuid[], $17::text[],
    $18::uuid[], $19::text[], $20::uuid[], $21::float8[], $22::uuid[], $23::text[], $24::timestamptz[],
    $25::timestamptz[], $26::bigint[], $27::text[], $28::uuid[], $29::timestamptz[])
    AS u (
    bucket, correlation_id, alert_name, alert_name_by, alert_severity, alert_severity_by, action_type, action_type_by,
    namespace, namespace_by, cluster_name, cluster_name_by, environment, environment_by, alert_fingerprint,
    alert_fingerprint_by, target_resource, target_resource_by, model_used, model_used_by, model_confidence,
    model_confidence_by, execution_status, start_time, end_time, duration_ms, error_message, execution_status_by,
    received_at)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id
ORDER BY u.bucket, i.id
ON CONFLICT (bucket, id, action_timestamp) DO UPDATE SET
    alert_name = CASE WHEN excluded.alert_name_by > COALESCE(t.alert_name_by, '00000000-0000-0000-0000-000000000000') THEN excluded.alert_name ELSE t.alert_name END,
    alert_name_by = GREATEST(excluded.alert_name_by, t.alert_name_by),
    alert_severity = CASE WHEN excluded.alert_severity_by > COALESCE(t.alert_severity_by, '00000000-0000-0000-0000-000000000000') THEN excluded.alert_severity ELSE t.alert_severity END,
    alert_severity_by = GREATEST(excluded.alert_severity_by, t.alert_severity_by),
    action_type = CASE WHEN excluded.action_type_by > COALESCE(t.action_type_by, '00000000-0000-0000-0000-000000000000') THEN excluded.action_type ELSE t.action_type END,
    action_type_by = GREATEST(excluded.action_type_by, t.action_type_by),
    namespace = CASE WHEN excluded.namespace_by > COALESCE(t.namespace_by, '00000000-0000-0000-0000-000000000000') THEN excluded.namespace ELSE t.namespace END,
    namespace_by = GREATEST(excluded.namespace_by, t.namespace_by),
    cluster_name = CASE WHEN excluded.cluster_name_by > COALESCE(t.cluster_name_by, '00000000-0000-0000-0000-000000000000') THEN excluded.cluster_name ELSE t.cluster_name END,
    cluster_name_by = GREATEST(excluded.cluster_name_by, t.cluster_name_by),
    environment = CASE WHEN excluded.environment_by > COALESCE(t.environment_by, '00000000-0000-0000-0000-000000000000') THEN excluded.environment ELSE t.environment END,
    environment_by = GREATEST(excluded.environment_by, t.environment_by),
    alert_fingerprint = CASE WHEN excluded.alert_fingerprint_by > COALESCE(t.alert_fingerprint_by, '00000000-0000-0000-0000-000000000000') THEN excluded.alert_fingerprint ELSE t.alert_fingerprint END,
    alert_fingerprint_by = GREATEST(excluded.alert_fingerprint_by, t.alert_fingerprint_by),
    target_resource = CASE WHEN excluded.target_resource_by > COALESCE(t.target_resource_by, '00000000-0000-0000-0000-000000000000') THEN excluded.target_resource ELSE t.target_resource END,
    target_resource_by = GREATEST(excluded.target_resource_by, t.target_resource_by),
    model_used = CASE WHEN excluded.model_used_by > COALESCE(t.model_used_by, '00000000-0000-0000-0000-000000000000') THEN excluded.model_used ELSE t.model_used END,
    model_used_by = GREATEST(excluded.model_used_by, t.model_used_by),
    model_confidence = CASE WHEN excluded.model_confidence_by > COALESCE(t.model_confidence_by, '00000000-0000-0000-0000-000000000000') THEN excluded.model_confidence ELSE t.model_confidence END,
    model_confidence_by = GREATEST(excluded.model_confidence_by, t.model_confidence_by),
    execution_status = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.execution_status ELSE t.execution_status END,
    start_time = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.start_time ELSE t.start_time END,
    end_time = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.end_time ELSE t.end_time END,
    duration_ms = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.duration_ms ELSE t.duration_ms END,
    error_message = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.error_message ELSE t.error_message END,
    execution_status_by = GREATEST(excluded.execution_status_by, t.execution_status_by),
    updated_at = GREATEST(excluded.updated_at, t.updated_at),
    revision = t.revision + 1,
    counted_before = CASE
        WHEN (excluded.alert_name_by > COALESCE(t.alert_name_by, '00000000-0000-0000-0000-000000000000') AND excluded.alert_name IS DISTINCT FROM t.alert_name)
            OR (excluded.alert_severity_by > COALESCE(t.alert_severity_by, '00000000-0000-0000-0000-000000000000') AND excluded.alert_severity IS DISTINCT FROM t.alert_severity)
            OR (excluded.action_type_by > COALESCE(t.action_type_by, '00000000-0000-0000-0000-000000000000') AND excluded.action_type IS DISTINCT FROM t.action_type)
            OR (excluded.namespace_by > COALESCE(t.namespace_by, '00000000-0000-0000-0000-000000000000') AND excluded.namespace IS DISTINCT FROM t.namespace)
            OR (excluded.cluster_name_by > COALESCE(t.cluster_name_by, '00000000-0000-0000-0000-000000000000') AND excluded.cluster_name IS DISTINCT FROM t.cluster_name)
        THEN ARRAY[t.alert_name, t.alert_severity, t.action_type, t.namespace, t.cluster_name]
    END
RETURNING bucket, alert_name, alert_severity, action_type, namespace, cluster_name, counted_before
)
INSERT INTO incident_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
SELECT s.bucket, nextval('incident_delta_number'), s.alert_name, s.alert_severity, s.action_type, s.namespace, s.cluster_name, s.delta
FROM (
    SELECT min(d.bucket) AS bucket, d.alert_name, d.alert_severity, d.action_type, d.namespace, d.cluster_name, sum(d.delta) AS delta
    FROM (
        SELECT bucket, alert_name, alert_severity, action_type, namespace, cluster_name, 1 AS delta
        FROM changed
        WHERE counted_before IS NOT NULL
        UNION ALL
        SELECT bucket, counted_before[1], counted_before[2], counted_before[3], counted_before[4], counted_before[5], -1
        FROM changed
        WHERE counted_before <> '{}'
    ) AS d
    GROUP BY d.alert_name, d.alert_severity, d.action_type, d.namespace, d.cluster_name
    HAVING sum(d.delta) <> 0
) AS s
ORDER BY s.bucket
