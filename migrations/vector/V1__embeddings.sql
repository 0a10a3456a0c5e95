-- The vectors of remediation audits. This database may be another than the audits'.

CREATE EXTENSION IF NOT EXISTS vector;

-- One row for every audit that has a vector, with the bucket of the audit.
CREATE TABLE audit_embeddings (
    bucket     int         NOT NULL,
    audit_id   text        NOT NULL COLLATE "C",
    embedder   text        NOT NULL COLLATE "C",
    pattern    uuid        NOT NULL,
    embedding  vector(768) NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, audit_id, embedder)
);
CREATE INDEX idx_audit_embeddings_pattern ON audit_embeddings (pattern);

-- One row for all texts whose features are equal: thousands of copies of one alert cost one entry of the index. The
-- bucket is that of the pattern.
CREATE TABLE embedding_patterns (
    bucket     int         NOT NULL,
    embedder   text        NOT NULL COLLATE "C",
    pattern    uuid        NOT NULL,
    embedding  vector(768) NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, embedder, pattern)
);
CREATE INDEX idx_embedding_patterns_hnsw ON embedding_patterns USING hnsw (embedding vector_cosine_ops) WITH (m = 32, ef_construction = 128);
