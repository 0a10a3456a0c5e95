-- query.read_sources
SELECT DISTINCT ON (i.id) i.id AS incident_id, a.id AS audit_id, a.writer
FROM incident_ids AS i
JOIN remediation_audit AS a ON a.bucket = i.bucket AND a.remediation_request_id = i.correlation_id
WHERE i.bucket = ANY ($1) AND i.id = ANY ($2)
ORDER BY i.id, {latest}
