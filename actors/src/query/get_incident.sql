-- query.get_incident
SELECT
    {columns},
    t.created_at, t.updated_at,
    (SELECT a.reasoning FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id AND a.reasoning IS NOT NULL
     ORDER BY {latest} LIMIT 1) AS reasoning,
    (SELECT a.priority FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id AND a.priority IS NOT NULL
     ORDER BY {latest} LIMIT 1) AS priority,
    (SELECT array_agg(b.attributes ORDER BY b.place DESC)
     FROM (
        SELECT n.place, n.attributes, sum(octet_length(n.attributes)) OVER (ORDER BY n.place) AS bytes
        FROM (
            SELECT row_number() OVER (ORDER BY {latest}) AS place, a.attributes::text AS attributes
            FROM remediation_audit AS a
            WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id AND a.attributes IS NOT NULL
            ORDER BY place
            LIMIT 1000
        ) AS n
     ) AS b
     WHERE b.bytes <= 16777216) AS attributes,
    {conflicts},
    (SELECT array_agg(l.workflow_id)
     FROM (
        SELECT w.workflow_id FROM incident_workflows AS w
        WHERE w.bucket = $1 AND w.remediation_request_id = t.correlation_id
        ORDER BY w.workflow_id
        LIMIT 1000
     ) AS l) AS workflows,
    (SELECT count(*) FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id) AS audits_total
FROM resource_action_traces AS t
WHERE t.bucket = $1 AND t.id = $2
  AND t.action_timestamp = (SELECT i.action_timestamp FROM incident_ids AS i WHERE i.bucket = $1 AND i.id = $2)
