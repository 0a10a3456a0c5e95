-- similarity.read_features
SELECT p.pattern, array_to_string(p.terms, ' ') AS terms, p.weights
FROM /*whole*/unnest($2::uuid[]) AS u (pattern)
CROSS JOIN LATERAL (
    SELECT s.pattern, s.terms, s.weights FROM embedding_patterns AS s
    WHERE s.embedder = $1 AND s.pattern = u.pattern
    LIMIT 1
) AS p/*end*/
/*distributed embedding_patterns AS p
WHERE p.bucket = ANY ($3) AND p.embedder = $1 AND p.pattern = ANY ($2) */
/*whole*/WHERE $3::int[] IS NOT NULL/*end*/
