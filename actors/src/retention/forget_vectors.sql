-- retention.forget_vectors
DELETE FROM audit_embeddings AS e
USING unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
WHERE e.bucket = u.bucket AND e.audit_id = u.audit_id
