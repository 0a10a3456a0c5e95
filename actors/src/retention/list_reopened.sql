-- retention.list_reopened
-- Incidents whose request was audited anew, and of which only the vector store has something.
SELECT d.bucket, d.incident_id, d.audit_ids FROM dropped_incidents AS d ORDER BY d.bucket, d.incident_id LIMIT $1
