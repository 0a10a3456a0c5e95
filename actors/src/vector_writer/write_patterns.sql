-- vector_writer.write_patterns
-- Only a pattern that is new costs an entry of the index; those come back.
INSERT INTO embedding_patterns (bucket, embedder, pattern, embedding, terms, weights, created_at)
SELECT u.bucket, $2, u.pattern, u.embedding, string_to_array(u.terms, ' '), string_to_array(u.weights, ' ')::real[], $5
FROM unnest($1::int[], $3::uuid[], $4::vector[], $6::text[], $7::text[]) AS u (bucket, pattern, embedding, terms, weights)
WHERE /*whole*/NOT EXISTS (
    SELECT 1 FROM embedding_patterns AS p WHERE p.bucket = u.bucket AND p.embedder = $2 AND p.pattern = u.pattern)/*end*/
    /*distributed (u.bucket, u.pattern) NOT IN (
        SELECT p.bucket, p.pattern FROM embedding_patterns AS p
        WHERE p.bucket = ANY ($1) AND p.embedder = $2 AND p.pattern = ANY ($3)) */
ORDER BY u.bucket, u.pattern
ON CONFLICT (bucket, embedder, pattern) DO NOTHING
RETURNING pattern
