-- pg_writer.find_workflow_audit
-- As find_audit.
SELECT a.id FROM workflow_audit AS a WHERE a.bucket = $1 AND a.id = $2 FOR KEY SHARE
