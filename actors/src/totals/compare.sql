-- totals.compare
-- By how much the kept totals of all combinations are off.
SELECT {counted|s.@}, sum(s.n)::bigint AS missing
FROM (
    SELECT {counted|@}, count(*) AS n FROM resource_action_traces GROUP BY {counted|@}
    UNION ALL
    SELECT {counted|@}, -total FROM incident_totals WHERE dimensions = {all}
    UNION ALL
    SELECT {counted|@}, -delta FROM incident_deltas
) AS s
GROUP BY {counted|s.@}
HAVING sum(s.n) <> 0
ORDER BY {counted|s.@}
