-- vector_writer.list_incomplete
SELECT f.bucket, f.incident_id, f.correlation_id
FROM incident_facts AS f
WHERE NOT f.is_complete
ORDER BY f.bucket, f.incident_id
LIMIT $1
