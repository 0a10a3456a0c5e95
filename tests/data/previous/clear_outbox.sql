-- pg_writer.clear_outbox
DELETE FROM embedding_outbox AS o
USING unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
WHERE o.bucket = u.bucket AND o.audit_id = u.audit_id
