-- similarity.read_features
SELECT p.pattern, array_to_string(p.terms, ' ') AS terms, p.weights
FROM unnest($2::uuid[]) AS u (pattern)
CROSS JOIN LATERAL (
    SELECT s.pattern, s.terms, s.weights FROM embedding_patterns AS s
    WHERE s.embedder = $1 AND s.pattern = u.pattern
    LIMIT 1
) AS p
