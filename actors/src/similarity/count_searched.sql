-- similarity.count_searched
-- Incidents of the store, and those of them that have no pattern because there is nothing in them to embed.
SELECT c.known, c.without_text, n.patterns
FROM (
    SELECT
        count(*) AS known,
        count(*) FILTER (WHERE /*whole*/NOT EXISTS (
            SELECT 1 FROM incident_patterns AS p
            WHERE p.bucket = f.bucket AND p.incident_id = f.incident_id AND p.embedder = $1)/*end*/
            /*distributed p.bucket IS NULL */) AS without_text
    FROM incident_facts AS f
    /*distributed LEFT JOIN (
        SELECT DISTINCT i.bucket, i.incident_id FROM incident_patterns AS i WHERE i.embedder = $1
    ) AS p ON p.bucket = f.bucket AND p.incident_id = f.incident_id */
) AS c
CROSS JOIN (
    SELECT COALESCE(max(t.patterns), 0)::bigint AS patterns FROM embedding_terms AS t
    WHERE t.bucket = $2 AND t.embedder = $1 AND t.term = ''
) AS n
