-- totals.count_day
SELECT {minute} AS minute, {counted|t.@}, count(*) AS n
FROM resource_action_traces AS t
WHERE t.action_timestamp >= $1 AND t.action_timestamp < $2
GROUP BY minute, {counted|t.@}
