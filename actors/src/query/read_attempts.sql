-- query.read_attempts
-- The audit that states the end of each attempt: of those before the last one it is told by when it was received.
SELECT e.incident_id, e.number, a.id AS audit_id, a.writer, a.target_resource, a.error_message
FROM unnest($1::int[], $2::bigint[]) AS u (bucket, id)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.id = u.id
JOIN earlier_attempts AS e ON e.bucket = u.bucket AND e.incident_id = u.id
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.remediation_request_id = i.correlation_id AND a.received_at = e.received_at
UNION ALL
SELECT t.id, 2147483647, a.id, a.writer, a.target_resource, a.error_message
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (bucket, id, action_timestamp)
JOIN resource_action_traces AS t ON t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.id = 'audit-' || t.execution_status_by
ORDER BY 1, 2
