-- query.get_incident
-- The audit that states a fact last is the one with the greatest id.
SELECT
    {columns},
    t.created_at, t.updated_at,
    (SELECT a.reasoning FROM remediation_audit AS a
     WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id AND a.reasoning IS NOT NULL
     ORDER BY a.id DESC LIMIT 1) AS reasoning,
    (SELECT a.priority FROM remediation_audit AS a
     WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id AND a.priority IS NOT NULL
     ORDER BY a.id DESC LIMIT 1) AS priority,
    (SELECT jsonb_object_agg(m.key, m.value)::text
     FROM (
        SELECT DISTINCT ON (e.key) e.key, e.value
        FROM (
            SELECT n.id, n.attributes, sum(octet_length(n.attributes::text)) OVER (ORDER BY n.id DESC) AS bytes
            FROM (
                SELECT a.id, a.attributes
                FROM remediation_audit AS a
                WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id AND a.attributes IS NOT NULL
                ORDER BY a.id DESC
                LIMIT 1000
            ) AS n
        ) AS b, jsonb_each(b.attributes) AS e
        WHERE b.bytes <= 16777216
        ORDER BY e.key, b.id DESC
     ) AS m) AS attributes,
    (SELECT array_agg(l.workflow_id)
     FROM (
        SELECT w.workflow_id FROM incident_workflows AS w
        WHERE w.bucket = t.bucket AND w.remediation_request_id = t.correlation_id
        ORDER BY w.workflow_id
        LIMIT 1000
     ) AS l) AS workflows,
    (SELECT count(*) FROM remediation_audit AS a
     WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id) AS audits_total
FROM resource_action_traces AS t
WHERE t.bucket = $1 AND t.id = $2
  AND t.action_timestamp = (SELECT i.action_timestamp FROM incident_ids AS i WHERE i.bucket = $1 AND i.id = $2)
