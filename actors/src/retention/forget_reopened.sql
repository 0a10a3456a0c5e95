-- retention.forget_reopened
DELETE FROM dropped_incidents AS d
USING unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
WHERE d.bucket = u.bucket AND d.incident_id = u.incident_id
