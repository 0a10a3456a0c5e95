-- nearest.read_new_patterns
SELECT w.bucket, w.pattern, w.embedding, w.facets
FROM embedding_pattern_words AS w
WHERE w.embedder = $1 AND w.bucket = ANY($2) AND w.pattern = ANY($3)
