-- retention.list_posted_again
-- Which of these audits are there.
SELECT a.id FROM remediation_audit AS a WHERE a.bucket = ANY ($1) AND a.id = ANY ($2)
