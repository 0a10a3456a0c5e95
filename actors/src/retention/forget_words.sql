-- retention.forget_words
DELETE FROM embedding_pattern_words AS w
USING unnest($1::int[], $2::text[], $3::uuid[]) AS u (bucket, embedder, pattern)
WHERE w.bucket = u.bucket AND w.embedder = u.embedder AND w.pattern = u.pattern
RETURNING w.bucket, w.embedder
