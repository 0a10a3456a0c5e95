-- vector_writer.write_pattern_words
INSERT INTO embedding_pattern_words (bucket, embedder, pattern, embedding, facets)
SELECT u.bucket, $2, u.pattern, u.embedding, 0::bit(512)
FROM unnest($1::int[], $3::uuid[], $4::sparsevec[]) AS u (bucket, pattern, embedding)
ORDER BY u.bucket, u.pattern
ON CONFLICT (bucket, embedder, pattern) DO NOTHING
