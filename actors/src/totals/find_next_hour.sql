-- totals.find_next_hour
-- The hour of the first incident from a time on.
SELECT floor(date_part('epoch', min(t.action_timestamp)) / 3600)::int AS hour
FROM resource_action_traces AS t
WHERE t.action_timestamp >= $1
