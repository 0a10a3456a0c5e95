-- retention.forget_loose_ties
-- Ties of workflows that have no step any more to requests that have no incident.
DELETE FROM incident_workflows AS l
USING (SELECT DISTINCT n.workflow_id FROM unnest($1::text[]) AS n (workflow_id)) AS u
WHERE l.workflow_id = u.workflow_id
  AND NOT EXISTS (SELECT FROM workflow_audit AS s WHERE s.workflow_id = l.workflow_id)
  AND NOT EXISTS (
    SELECT FROM incident_ids AS i WHERE i.bucket = l.bucket AND i.correlation_id = l.remediation_request_id)
