-- vector_writer.mark_complete
UPDATE incident_facts AS f SET is_complete = true
FROM unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
WHERE f.bucket = u.bucket AND f.incident_id = u.incident_id
