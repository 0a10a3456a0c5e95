-- retention.forget_unused_terms
DELETE FROM embedding_terms AS t
USING unnest($1::int[], $2::text[], $3::text[]) AS u (bucket, embedder, term)
WHERE t.bucket = u.bucket AND t.embedder = u.embedder AND t.term = u.term AND t.patterns <= 0
