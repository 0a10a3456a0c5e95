-- similarity.read_terms
SELECT t.term, t.patterns
FROM embedding_terms AS t
WHERE t.embedder = $1 AND t.patterns > 0 AND t.term <> ''
ORDER BY t.patterns DESC
LIMIT $2
