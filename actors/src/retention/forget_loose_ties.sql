-- retention.forget_loose_ties
-- Ties of workflows that have no step any more to requests that have no incident.
DELETE FROM incident_workflows AS l
WHERE l.workflow_id = ANY ($1)
  AND /*whole*/NOT EXISTS (SELECT 1 FROM workflow_audit AS s WHERE s.workflow_id = l.workflow_id)/*end*/
    /*distributed l.workflow_id NOT IN (SELECT s.workflow_id FROM workflow_audit AS s WHERE s.workflow_id = ANY ($1)) */
  AND NOT EXISTS (
    SELECT 1 FROM incident_ids AS i WHERE i.bucket = l.bucket AND i.correlation_id = l.remediation_request_id)
