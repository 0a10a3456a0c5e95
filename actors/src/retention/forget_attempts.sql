-- retention.forget_attempts
DELETE FROM earlier_attempts AS e
USING unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
WHERE e.bucket = u.bucket AND e.incident_id = u.incident_id
