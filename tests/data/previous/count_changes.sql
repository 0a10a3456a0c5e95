-- vector_writer.count_changes
INSERT INTO embedding_revisions AS r (bucket, embedder, revision)
SELECT u.bucket, u.embedder, 1
FROM unnest($1::int[], $2::text[]) AS u (bucket, embedder)
ORDER BY u.bucket, u.embedder
ON CONFLICT (bucket, embedder) DO UPDATE SET revision = r.revision + 1
