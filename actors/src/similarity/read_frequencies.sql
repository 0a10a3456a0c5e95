-- similarity.read_frequencies
SELECT t.term, t.patterns
FROM unnest($1::int[], $3::text[]) AS u (bucket, term)
JOIN embedding_terms AS t ON t.bucket = u.bucket AND t.embedder = $2 AND t.term = u.term
    /*distributed AND t.bucket = ANY ($1) */
