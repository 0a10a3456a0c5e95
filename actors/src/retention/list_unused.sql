-- retention.list_unused
SELECT u.embedder, u.pattern
FROM unnest($1::text[], $2::uuid[]) AS u (embedder, pattern)
WHERE /*whole*/NOT EXISTS (SELECT 1 FROM incident_patterns AS p WHERE p.embedder = u.embedder AND p.pattern = u.pattern)/*end*/
    /*distributed (u.embedder, u.pattern) NOT IN (
        SELECT p.embedder, p.pattern FROM incident_patterns AS p
        WHERE p.embedder = ANY ($1) AND p.pattern = ANY ($2)) */
