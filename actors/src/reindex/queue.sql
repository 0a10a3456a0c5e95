-- reindex.queue
INSERT INTO embedding_outbox (bucket, audit_id, received_at, claimed_until)
SELECT u.bucket, u.audit_id, $3, $3
FROM unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
ORDER BY u.bucket, u.audit_id
ON CONFLICT (bucket, audit_id) DO NOTHING
