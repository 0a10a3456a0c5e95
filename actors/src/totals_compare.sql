-- totals.compare
SELECT s.alert_name, s.alert_severity, s.action_type, s.namespace, s.cluster_name, sum(s.n)::bigint AS missing
FROM (
    SELECT alert_name, alert_severity, action_type, namespace, cluster_name, count(*) AS n
    FROM resource_action_traces GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT alert_name, alert_severity, action_type, namespace, cluster_name, -total FROM incident_totals WHERE dimensions = 31
    UNION ALL
    SELECT alert_name, alert_severity, action_type, namespace, cluster_name, -delta FROM incident_deltas
) AS s
GROUP BY 1, 2, 3, 4, 5
HAVING sum(s.n) <> 0
ORDER BY 1, 2, 3, 4, 5
