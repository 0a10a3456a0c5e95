-- pg_writer.bury_stale
-- A request that is audited anew after the latest audit of its incident has become older than what is kept ($3) opens a new incident, which shows nothing of
-- the old one. What the vector store has of the old one is noted for retention.
WITH stale AS (
    DELETE FROM incident_ids AS i
    USING unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
    WHERE i.bucket = u.bucket AND i.correlation_id = u.correlation_id AND i.action_timestamp < $3
      AND NOT EXISTS (
        SELECT 1 FROM resource_action_traces AS t
        WHERE t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp AND {last_audit_at} >= $3)
    -- What is deleted is counted below; the trigger of migration V9 is told so.
    RETURNING i.bucket, i.correlation_id, i.id, i.action_timestamp, set_config('data_storage.counts_deletes', 'on', true)
), audits AS (
    DELETE FROM remediation_audit AS a
    USING stale AS s
    WHERE a.bucket = s.bucket AND a.remediation_request_id = s.correlation_id
    RETURNING a.bucket, a.id, s.id AS incident_id
), ties AS (
    DELETE FROM incident_workflows AS w
    USING stale AS s
    WHERE w.bucket = s.bucket AND w.remediation_request_id = s.correlation_id
), waiting AS (
    DELETE FROM embedding_outbox AS o
    USING audits AS a
    WHERE o.bucket = a.bucket AND o.audit_id = a.id
), attempts AS (
    DELETE FROM earlier_attempts AS e
    USING stale AS s
    WHERE e.bucket = s.bucket AND e.incident_id = s.id
), incidents AS (
    DELETE FROM resource_action_traces AS t
    USING stale AS s
    WHERE t.bucket = s.bucket AND t.id = s.id AND t.action_timestamp = s.action_timestamp
    RETURNING t.bucket, {minute} AS minute, {counted|t.@}
), changes AS (
    INSERT INTO count_changes (bucket, number, minutes, deltas, {counted|@})
    SELECT min(i.bucket), nextval('count_change_number'), array_agg(i.minute), array_agg(-1), {counted|array_agg(i.@)}
    FROM incidents AS i
    HAVING count(*) > 0
)
INSERT INTO dropped_incidents (bucket, incident_id, audit_ids)
SELECT s.bucket, s.id, COALESCE(d.audit_ids, '{}')
FROM stale AS s
LEFT JOIN (SELECT incident_id, array_agg(id) AS audit_ids FROM audits GROUP BY incident_id) AS d ON d.incident_id = s.id
ORDER BY s.bucket, s.id
