-- vector_writer.count_terms
INSERT INTO embedding_terms AS t (bucket, embedder, term, patterns)
SELECT u.bucket, $2, u.term, u.patterns
FROM unnest($1::int[], $3::text[], $4::bigint[]) AS u (bucket, term, patterns)
ORDER BY u.bucket, u.term
ON CONFLICT (bucket, embedder, term) DO UPDATE SET patterns = t.patterns + excluded.patterns
