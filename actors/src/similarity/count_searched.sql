-- similarity.count_searched
-- Incidents of the store, and those of them that have no pattern because there is nothing in them to embed.
SELECT
    count(*) AS known,
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM incident_patterns AS p
        WHERE p.bucket = f.bucket AND p.incident_id = f.incident_id AND p.embedder = $1)) AS without_text,
    (SELECT COALESCE(max(t.patterns), 0)::bigint FROM embedding_terms AS t
     WHERE t.bucket = $2 AND t.embedder = $1 AND t.term = '') AS patterns
FROM incident_facts AS f
