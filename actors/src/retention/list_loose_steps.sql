-- retention.list_loose_steps
-- Old steps of workflows that no incident is tied to; a tie to a request without an incident ties to none.
SELECT w.bucket, w.id, w.workflow_id
FROM workflow_audit AS w
WHERE w.executed_at < $1
  AND /*whole*/NOT EXISTS (
    SELECT 1 FROM incident_workflows AS o
    JOIN incident_ids AS i ON i.bucket = o.bucket AND i.correlation_id = o.remediation_request_id
    WHERE o.workflow_id = w.workflow_id)/*end*/
    /*distributed w.workflow_id NOT IN (
        SELECT o.workflow_id FROM incident_workflows AS o
        JOIN incident_ids AS i ON i.bucket = o.bucket AND i.correlation_id = o.remediation_request_id) */
ORDER BY w.executed_at
LIMIT $2
