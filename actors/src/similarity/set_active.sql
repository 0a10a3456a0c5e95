-- similarity.set_active
INSERT INTO embedding_active (bucket, name, embedder)
SELECT u.bucket, 'active', u.embedder
FROM unnest($1::int[], $2::text[]) AS u (bucket, embedder)
ORDER BY u.bucket
ON CONFLICT (bucket, name) DO NOTHING
