-- attempts.read_all_earlier
-- The attempts that ended before their request went on.
SELECT e.incident_id, e.action_timestamp, e.action_type, e.execution_status, e.duration_ms, e.ended_at
FROM earlier_attempts AS e
