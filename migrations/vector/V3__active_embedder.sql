-- Whose vectors are searched: set by the first service that comes, and by `reindex` when it has filled another embedder's space.
CREATE TABLE embedding_active (
    bucket   int  NOT NULL,
    name     text NOT NULL COLLATE "C",
    embedder text NOT NULL COLLATE "C",
    PRIMARY KEY (bucket, name)
);
