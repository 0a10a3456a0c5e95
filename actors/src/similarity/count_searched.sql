-- similarity.count_searched
SELECT
    (SELECT count(*) FROM incident_facts) AS searched,
    COALESCE((
        SELECT t.patterns FROM embedding_terms AS t WHERE t.bucket = $2 AND t.embedder = $1 AND t.term = ''
    ), 0)::bigint AS patterns
