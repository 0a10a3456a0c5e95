-- attempts.read_changed
-- The same of incidents ($1) of which the minute is known ($2, from 1970). An id ends with its bucket (domain/bucket.rs).
SELECT
    t.id, t.action_timestamp, {last_grouped}, t.action_type AS stated_action, {only_filtered|t.@}, t.duration_ms, {last_end} AS ended_at
FROM unnest($1::bigint[], $2::timestamptz[]) AS u (id, minute)
JOIN resource_action_traces AS t
    ON t.bucket = (u.id % 1024)::int AND t.id = u.id
    AND t.action_timestamp >= u.minute AND t.action_timestamp < u.minute + interval '1 minute'
