-- attempts.read_all
-- Of every incident its last attempt.
SELECT
    t.id, t.action_timestamp, {last_grouped}, t.action_type AS stated_action, {only_filtered|t.@}, t.duration_ms, {last_end} AS ended_at
FROM resource_action_traces AS t
