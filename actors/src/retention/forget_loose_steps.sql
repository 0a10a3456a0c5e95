-- retention.forget_loose_steps
-- Old steps of workflows that no incident is tied to.
DELETE FROM workflow_audit AS s
USING (
    SELECT w.bucket, w.id
    FROM workflow_audit AS w
    WHERE w.executed_at < $1
      AND NOT EXISTS (SELECT FROM incident_workflows AS o WHERE o.workflow_id = w.workflow_id)
    ORDER BY w.executed_at
    LIMIT $2
) AS old
WHERE s.bucket = old.bucket AND s.id = old.id
