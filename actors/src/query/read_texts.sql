-- query.read_texts
SELECT DISTINCT ON (i.id) i.id, left(a.reasoning, 1000) AS reasoning
FROM incident_ids AS i
JOIN remediation_audit AS a ON a.bucket = i.bucket AND a.remediation_request_id = i.correlation_id
WHERE i.bucket = ANY ($1) AND i.id = ANY ($2) AND a.reasoning IS NOT NULL AND a.received_at <= COALESCE($3, 'infinity'::timestamptz)
ORDER BY i.id, {latest}
