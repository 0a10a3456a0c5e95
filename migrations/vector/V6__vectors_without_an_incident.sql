-- Vectors of the first schema belong to no incident, so no search finds them: `reindex` makes them anew where they are missing.
DELETE FROM audit_embeddings AS e
WHERE NOT EXISTS (SELECT FROM incident_patterns AS p WHERE p.embedder = e.embedder AND p.pattern = e.pattern);
DELETE FROM embedding_patterns AS e
WHERE NOT EXISTS (SELECT FROM incident_patterns AS p WHERE p.embedder = e.embedder AND p.pattern = e.pattern);
