-- vector_writer.write_facts
-- A copy of the facts; one that is later already stays.
INSERT INTO incident_facts AS f (
    bucket, incident_id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    execution_status, revision)
SELECT
    u.bucket, u.incident_id, u.correlation_id, u.action_timestamp, u.alert_name, u.alert_severity, u.action_type, u.namespace,
    u.cluster_name, u.execution_status, u.revision
FROM unnest(
    $1::int[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[])
    AS u (
    bucket, incident_id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    execution_status, revision)
ORDER BY u.bucket, u.incident_id
ON CONFLICT (bucket, incident_id) DO UPDATE SET
    alert_name = excluded.alert_name,
    alert_severity = excluded.alert_severity,
    action_type = excluded.action_type,
    namespace = excluded.namespace,
    cluster_name = excluded.cluster_name,
    execution_status = excluded.execution_status,
    revision = excluded.revision
WHERE excluded.revision > f.revision
