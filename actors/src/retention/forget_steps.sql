-- retention.forget_steps
-- Old steps of workflows.
DELETE FROM workflow_audit AS s WHERE s.bucket = ANY ($1) AND s.workflow_id = ANY ($2) AND s.executed_at < $3
