-- nearest.read_patterns
SELECT w.bucket, w.pattern, w.embedding, w.facets
FROM embedding_pattern_words AS w
WHERE w.embedder = $1 AND w.bucket = ANY($2)
