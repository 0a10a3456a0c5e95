-- retention.list_dropped
-- What is left of incidents of one bucket that are dropped: one that has an audit of a kept month is still there.
SELECT i.bucket, i.correlation_id, i.id
FROM incident_ids AS i
WHERE i.bucket = $1 AND i.action_timestamp < $2
  AND NOT EXISTS (
    SELECT 1 FROM resource_action_traces AS t
    WHERE t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp)
ORDER BY i.action_timestamp
LIMIT $3
