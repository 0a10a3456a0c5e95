-- vector_writer.write_pattern_words
INSERT INTO embedding_pattern_words (bucket, embedder, pattern, embedding)
SELECT u.bucket, $2, u.pattern, u.embedding
FROM unnest($1::int[], $3::uuid[], $4::sparsevec[]) AS u (bucket, pattern, embedding)
ORDER BY u.bucket, u.pattern
ON CONFLICT (bucket, embedder, pattern) DO NOTHING
