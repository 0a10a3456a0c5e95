-- query.timeline
SELECT
    i.correlation_id,
    (SELECT array_agg(l.workflow_id)
     FROM (
        SELECT w.workflow_id FROM incident_workflows AS w
        WHERE w.bucket = $1 AND w.remediation_request_id = i.correlation_id
        ORDER BY w.workflow_id
        LIMIT 1000
     ) AS l) AS workflows,
    (SELECT count(*) FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = i.correlation_id) AS audits_total
FROM incident_ids AS i
WHERE i.bucket = $1 AND i.id = $2
