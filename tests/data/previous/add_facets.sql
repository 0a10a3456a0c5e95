-- vector_writer.add_facets
UPDATE embedding_pattern_words AS w SET facets = w.facets | u.facets
FROM (
    SELECT v.bucket, v.embedder, v.pattern, v.facets::bit(512) AS facets
    FROM unnest($1::int[], $2::text[], $3::uuid[], $4::varbit[]) AS v (bucket, embedder, pattern, facets)
    ORDER BY v.bucket, v.embedder, v.pattern
) AS u
WHERE w.bucket = u.bucket AND w.embedder = u.embedder AND w.pattern = u.pattern AND w.facets & u.facets <> u.facets
RETURNING w.bucket, w.embedder
