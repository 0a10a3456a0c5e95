-- vector_writer.write_vectors
INSERT INTO audit_embeddings (bucket, audit_id, embedder, pattern, embedding, created_at)
SELECT u.bucket, u.audit_id, $3, u.pattern, u.embedding, $6
FROM unnest($1::int[], $2::text[], $4::uuid[], $5::vector[]) AS u (bucket, audit_id, pattern, embedding)
ORDER BY u.bucket, u.audit_id
ON CONFLICT (bucket, audit_id, embedder) DO NOTHING
