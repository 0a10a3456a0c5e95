-- pg_writer.find_stale
-- As bury_stale: the incidents of these requests that are older than what is kept ($3).
SELECT i.bucket, i.correlation_id, i.id, i.action_timestamp, t.bucket IS NOT NULL AS is_there, {counted|t.@}
FROM incident_ids AS i
LEFT JOIN resource_action_traces AS t ON t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp
WHERE i.bucket = ANY ($1) AND i.correlation_id = ANY ($2) AND i.action_timestamp < $3
  AND (t.bucket IS NULL OR {last_audit_at} < $3)
