-- retention.forget_facts
DELETE FROM incident_facts AS f
USING unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
WHERE f.bucket = u.bucket AND f.incident_id = u.incident_id
