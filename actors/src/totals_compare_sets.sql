-- totals.compare_sets
SELECT s.alert_name, s.alert_severity, s.action_type, s.namespace, s.cluster_name, sum(s.n)::bigint AS missing
FROM (
    SELECT p.dimensions, p.alert_name, p.alert_severity, p.action_type, p.namespace, p.cluster_name, sum(p.total) AS n
    FROM (
        SELECT
            d.dimensions,
            CASE WHEN d.dimensions & 1 > 0 THEN t.alert_name END AS alert_name,
            CASE WHEN d.dimensions & 2 > 0 THEN t.alert_severity END AS alert_severity,
            CASE WHEN d.dimensions & 4 > 0 THEN t.action_type END AS action_type,
            CASE WHEN d.dimensions & 8 > 0 THEN t.namespace END AS namespace,
            CASE WHEN d.dimensions & 16 > 0 THEN t.cluster_name END AS cluster_name,
            t.total
        FROM incident_totals AS t
        CROSS JOIN (VALUES (0), (1), (2), (3), (4), (8), (16)) AS d (dimensions)
        WHERE t.dimensions = 31
    ) AS p
    WHERE (p.dimensions & 1 = 0 OR p.alert_name IS NOT NULL) AND (p.dimensions & 2 = 0 OR p.alert_severity IS NOT NULL)
      AND (p.dimensions & 4 = 0 OR p.action_type IS NOT NULL) AND (p.dimensions & 8 = 0 OR p.namespace IS NOT NULL)
      AND (p.dimensions & 16 = 0 OR p.cluster_name IS NOT NULL)
    GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT dimensions, alert_name, alert_severity, action_type, namespace, cluster_name, -total
    FROM incident_totals WHERE dimensions <> 31
) AS s
GROUP BY s.dimensions, s.alert_name, s.alert_severity, s.action_type, s.namespace, s.cluster_name
HAVING sum(s.n) <> 0
