-- retention.list_unused
SELECT u.embedder, u.pattern
FROM unnest($1::text[], $2::uuid[]) AS u (embedder, pattern)
WHERE NOT EXISTS (SELECT FROM incident_patterns AS p WHERE p.embedder = u.embedder AND p.pattern = u.pattern)
