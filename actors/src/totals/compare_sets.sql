-- totals.compare_sets
-- By how much the totals of the smaller sets differ from what all combinations add up to.
SELECT {counted|s.@}, sum(s.n)::bigint AS missing
FROM (
    SELECT p.dimensions, {counted|p.@}, sum(p.total) AS n
    FROM (
        SELECT d.dimensions, {counted|CASE WHEN d.dimensions & #bit > 0 THEN t.@ END AS @}, t.total
        FROM incident_totals AS t
        CROSS JOIN (VALUES {ready}) AS d (dimensions)
        WHERE t.dimensions = {all}
    ) AS p
    WHERE {counted AND|(p.dimensions & #bit = 0 OR p.@ IS NOT NULL)}
    GROUP BY p.dimensions, {counted|p.@}
    UNION ALL
    SELECT dimensions, {counted|@}, -total FROM incident_totals WHERE dimensions <> {all}
) AS s
GROUP BY s.dimensions, {counted|s.@}
HAVING sum(s.n) <> 0
