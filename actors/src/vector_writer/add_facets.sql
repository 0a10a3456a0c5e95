-- vector_writer.add_facets
UPDATE embedding_pattern_words AS w SET facets = w.facets | u.facets
FROM (
    SELECT v.bucket, v.pattern, v.facets::bit(512) AS facets
    FROM unnest($1::int[], $3::uuid[], $4::varbit[]) AS v (bucket, pattern, facets)
    ORDER BY v.bucket, v.pattern
) AS u
WHERE w.bucket = u.bucket AND w.embedder = $2 AND w.pattern = u.pattern AND w.facets & u.facets <> u.facets
