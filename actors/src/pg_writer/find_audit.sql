-- pg_writer.find_audit
SELECT EXISTS (SELECT FROM remediation_audit WHERE bucket = $1 AND id = $2)
    OR EXISTS (SELECT FROM workflow_audit WHERE bucket = $1 AND id = $2) AS found
