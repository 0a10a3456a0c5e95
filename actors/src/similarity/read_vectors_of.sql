-- similarity.read_vectors_of
SELECT
    max(1 - (p.embedding <=> $4)) FILTER (WHERE i.embedder = $3) AS nearest,
    COALESCE(bool_or(i.embedder <> $3), false) AS of_others
FROM incident_patterns AS i
JOIN embedding_patterns AS p ON p.embedder = i.embedder AND p.pattern = i.pattern
WHERE i.bucket = $1 AND i.incident_id = $2
