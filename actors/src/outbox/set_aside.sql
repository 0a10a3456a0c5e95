-- outbox.set_aside
UPDATE embedding_outbox AS o
SET attempts = o.attempts + 1
FROM unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
WHERE o.bucket = u.bucket AND o.audit_id = u.audit_id
