-- How often the patterns of a bucket have changed: their words, or which facts they have. Who holds them in memory reads those again whose
-- number is another.
CREATE TABLE embedding_revisions (
    bucket   int    NOT NULL,
    embedder text   NOT NULL COLLATE "C",
    revision bigint NOT NULL,
    PRIMARY KEY (bucket, embedder)
) WITH (fillfactor = 70);
