-- attempts.read_all
-- Of every incident its last attempt.
SELECT
    t.id, t.action_timestamp, {grouped|t.@}, {only_filtered|t.@}, t.duration_ms, COALESCE(t.end_time, t.start_time, t.action_timestamp) AS ended_at
FROM resource_action_traces AS t
