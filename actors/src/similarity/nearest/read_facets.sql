-- nearest.read_facets
SELECT w.pattern, w.facets
FROM embedding_pattern_words AS w
WHERE w.embedder = $1 AND w.bucket = ANY($2)
