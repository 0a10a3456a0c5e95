-- pg_writer.insert_workflow_audits
-- The ids that come back are new; the others are replays. Their rows are locked, which is written to the log: so the COMMIT
-- that acknowledges a replay waits for a standby as the first one did.
INSERT INTO workflow_audit (
    bucket, id, workflow_id, step_name, step_status, duration_ms, error_message, executed_at, remediation_request_id,
    received_at, writer, attributes, truncated, trace_id)
SELECT
    u.bucket, u.id, u.workflow_id, u.step_name, u.step_status, u.duration_ms, u.error_message, u.executed_at,
    u.remediation_request_id, u.received_at, u.writer, u.attributes::jsonb, string_to_array(u.truncated, ','), u.trace_id
FROM unnest(
    $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[], $9::text[],
    $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[])
    AS u (
    bucket, id, workflow_id, step_name, step_status, duration_ms, error_message, executed_at, remediation_request_id,
    received_at, writer, attributes, truncated, trace_id)
ORDER BY u.bucket, u.id
ON CONFLICT (bucket, id) DO UPDATE SET bucket = excluded.bucket WHERE false
RETURNING id
