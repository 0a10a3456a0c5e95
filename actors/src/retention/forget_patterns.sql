-- retention.forget_patterns
DELETE FROM incident_patterns AS p
USING unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
WHERE p.bucket = u.bucket AND p.incident_id = u.incident_id
RETURNING p.embedder, p.pattern
