-- nearest.read_revisions
SELECT r.bucket, r.revision FROM embedding_revisions AS r WHERE r.embedder = $1
