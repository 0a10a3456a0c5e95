-- query.describe_incident
SELECT
    t.action_timestamp, t.alert_name, t.namespace, t.cluster_name, t.target_resource, t.error_message,
    (SELECT a.reasoning FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id AND a.reasoning IS NOT NULL
     ORDER BY {latest} LIMIT 1) AS reasoning
FROM resource_action_traces AS t
WHERE t.bucket = $1 AND t.id = $2
  AND t.action_timestamp = (SELECT i.action_timestamp FROM incident_ids AS i WHERE i.bucket = $1 AND i.id = $2)
