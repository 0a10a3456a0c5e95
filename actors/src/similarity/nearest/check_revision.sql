-- nearest.check_revision
SELECT
    (SELECT COALESCE(sum(r.revision), 0) FROM embedding_revisions AS r WHERE r.embedder = $1)::bigint AS revision,
    COALESCE((
        SELECT t.patterns FROM embedding_terms AS t WHERE t.bucket = $2 AND t.embedder = $1 AND t.term = ''
    ), 0)::bigint AS patterns
