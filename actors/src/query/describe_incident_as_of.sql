-- query.describe_incident_as_of
-- By the audits received by then; no row where there was none.
SELECT
    max(i.action_timestamp) AS action_timestamp,
    (array_agg(a.alert_name ORDER BY {latest}) FILTER (WHERE ('alert_name' = ANY (a.assumed)) IS NOT TRUE))[1] AS alert_name,
    (array_agg(a.namespace ORDER BY {latest}) FILTER (WHERE ('namespace' = ANY (a.assumed)) IS NOT TRUE))[1] AS namespace,
    (array_agg(a.cluster ORDER BY {latest}) FILTER (WHERE ('cluster' = ANY (a.assumed)) IS NOT TRUE))[1] AS cluster_name,
    (array_agg(a.target_resource ORDER BY {latest}) FILTER (WHERE a.target_resource IS NOT NULL))[1] AS target_resource,
    (array_agg(a.reasoning ORDER BY {latest}) FILTER (WHERE a.reasoning IS NOT NULL))[1] AS reasoning,
    (array_agg(a.error_message ORDER BY {latest}) FILTER (WHERE ('status' = ANY (a.assumed)) IS NOT TRUE))[1] AS error_message
FROM incident_ids AS i
JOIN remediation_audit AS a ON a.bucket = i.bucket AND a.remediation_request_id = i.correlation_id
WHERE i.bucket = $1 AND i.id = $2 AND a.received_at <= $3
HAVING count(*) > 0
