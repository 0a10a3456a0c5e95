-- retention.uncount_terms
UPDATE embedding_terms AS t SET patterns = t.patterns - u.patterns
FROM (
    SELECT v.bucket, v.embedder, v.term, v.patterns
    FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[]) AS v (bucket, embedder, term, patterns)
    ORDER BY v.bucket, v.term
) AS u
WHERE t.bucket = u.bucket AND t.embedder = u.embedder AND t.term = u.term
