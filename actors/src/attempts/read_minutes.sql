-- attempts.read_minutes
-- The same of all incidents of some times ($1, $2), up to a number of them ($3).
SELECT
    t.id, t.action_timestamp, {last_grouped}, t.action_type AS stated_action, {only_filtered|t.@}, t.duration_ms, {last_end} AS ended_at
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS u (first, next)
JOIN resource_action_traces AS t ON t.action_timestamp >= u.first AND t.action_timestamp < u.next
LIMIT $3
