-- retention.list_reopened
-- Incidents whose request was audited anew, and of which only the vector store has something. An audit that was posted again since then
-- is another incident's.
SELECT
    d.bucket, d.incident_id,
    ARRAY(
        SELECT u.id FROM unnest(d.audit_ids) AS u (id)
        WHERE NOT EXISTS (SELECT FROM remediation_audit AS a WHERE a.bucket = d.bucket AND a.id = u.id)
    ) AS audit_ids
FROM dropped_incidents AS d
ORDER BY d.bucket, d.incident_id
LIMIT $1
