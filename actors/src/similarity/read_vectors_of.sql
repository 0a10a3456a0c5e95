-- similarity.read_vectors_of
SELECT
    max(1 - (p.embedding <=> $4)) FILTER (WHERE i.embedder = $3) AS nearest,
    COALESCE(bool_or(i.embedder <> $3), false) AS of_others
FROM (
    SELECT n.embedder, n.pattern FROM incident_patterns AS n WHERE n.bucket = $1 AND n.incident_id = $2
    OFFSET 0 -- the patterns are in other buckets
) AS i
JOIN embedding_patterns AS p ON p.embedder = i.embedder AND p.pattern = i.pattern
