-- vector_writer.write_patterns
-- Only a pattern that is new costs an entry of the index.
INSERT INTO embedding_patterns (bucket, embedder, pattern, embedding, created_at)
SELECT u.bucket, $2, u.pattern, u.embedding, $5
FROM unnest($1::int[], $3::uuid[], $4::vector[]) AS u (bucket, pattern, embedding)
WHERE NOT EXISTS (
    SELECT FROM embedding_patterns AS p WHERE p.bucket = u.bucket AND p.embedder = $2 AND p.pattern = u.pattern)
ORDER BY u.bucket, u.pattern
ON CONFLICT (bucket, embedder, pattern) DO NOTHING
