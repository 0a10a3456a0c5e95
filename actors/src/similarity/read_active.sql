-- similarity.read_active
SELECT embedder FROM embedding_active WHERE bucket = 0 AND name = 'active'
