-- attempts.read_earlier
-- The same of some incidents ($1).
SELECT e.incident_id, e.action_timestamp, e.action_type, e.execution_status, e.duration_ms, e.ended_at
FROM unnest($1::bigint[]) AS u (id)
JOIN earlier_attempts AS e ON e.bucket = (u.id % 1024)::int AND e.incident_id = u.id
