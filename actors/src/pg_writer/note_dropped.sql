-- pg_writer.note_dropped
INSERT INTO dropped_incidents (bucket, incident_id, audit_ids)
SELECT u.bucket, u.incident_id, string_to_array(u.audit_ids, ',')
FROM unnest($1::int[], $2::bigint[], $3::text[]) AS u (bucket, incident_id, audit_ids)
ORDER BY u.bucket, u.incident_id
