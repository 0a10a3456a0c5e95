-- pg_writer.find_audit
-- Locked, so that the acknowledgement waits for a COMMIT that is written to the log.
SELECT a.id FROM remediation_audit AS a WHERE a.bucket = $1 AND a.id = $2 FOR KEY SHARE
