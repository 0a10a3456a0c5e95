-- pg_writer.insert_remediation_audits
-- The ids that come back are new; the others are replays. Their rows are locked, which is written to the log: so the COMMIT
-- that acknowledges a replay waits for a standby as the first one did.
INSERT INTO remediation_audit (
    bucket, id, remediation_request_id, alert_name, namespace, cluster, priority, severity, action_type, target_resource,
    status, confidence, model_used, alert_fingerprint, environment, reasoning, duration_ms, error_message, executed_at,
    created_at, received_at, writer, assumed, attributes, truncated, trace_id)
SELECT
    u.bucket, u.id, u.remediation_request_id, u.alert_name, u.namespace, u.cluster, u.priority, u.severity, u.action_type,
    u.target_resource, u.status, u.confidence, u.model_used, u.alert_fingerprint, u.environment, u.reasoning,
    u.duration_ms, u.error_message, u.executed_at, u.created_at, u.received_at, u.writer,
    string_to_array(u.assumed, ','), u.attributes::jsonb, string_to_array(u.truncated, ','), u.trace_id
FROM unnest(
    $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::float8[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[],
    $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[])
    AS u (
    bucket, id, remediation_request_id, alert_name, namespace, cluster, priority, severity, action_type, target_resource,
    status, confidence, model_used, alert_fingerprint, environment, reasoning, duration_ms, error_message, executed_at,
    created_at, received_at, writer, assumed, attributes, truncated, trace_id)
ORDER BY u.bucket, u.id
ON CONFLICT (bucket, id) DO UPDATE SET bucket = excluded.bucket WHERE false
RETURNING id
