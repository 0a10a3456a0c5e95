-- retention.forget_unused
DELETE FROM embedding_patterns AS p
USING unnest($1::int[], $2::text[], $3::uuid[]) AS u (bucket, embedder, pattern)
WHERE p.bucket = u.bucket AND p.embedder = u.embedder AND p.pattern = u.pattern
RETURNING p.embedder, p.terms
