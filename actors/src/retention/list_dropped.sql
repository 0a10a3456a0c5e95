-- retention.list_dropped
-- Incidents of one bucket that are older than what is kept.
SELECT i.bucket, i.correlation_id, i.id
FROM incident_ids AS i
WHERE i.bucket = $1 AND i.action_timestamp < $2
ORDER BY i.action_timestamp
LIMIT $3
