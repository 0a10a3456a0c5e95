-- What a search needs beside the vectors: the features of each pattern, how common each feature is, the incidents of each pattern,
-- and the facts that filters ask for.

ALTER TABLE embedding_patterns
    ADD COLUMN terms   text[] NOT NULL DEFAULT '{}' COLLATE "C",
    ADD COLUMN weights real[] NOT NULL DEFAULT '{}',
    -- A row of 3 KiB stays in its page: a scan of all patterns follows no pointers.
    ALTER COLUMN embedding SET STORAGE PLAIN;
-- The same for the audits' own rows; their patterns are found through the incidents.
ALTER TABLE audit_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;
DROP INDEX idx_audit_embeddings_pattern;
CREATE INDEX idx_embedding_patterns_pattern ON embedding_patterns (embedder, pattern);
CREATE INDEX idx_embedding_patterns_terms ON embedding_patterns USING gin (terms);

-- The vectors of patterns once more, without their zeros: of words there are few, and comparing all patterns reads a tenth.
CREATE TABLE embedding_pattern_words (
    bucket    int            NOT NULL,
    embedder  text           NOT NULL COLLATE "C",
    pattern   uuid           NOT NULL,
    embedding sparsevec(768) NOT NULL,
    PRIMARY KEY (bucket, embedder, pattern)
);
CREATE INDEX idx_embedding_pattern_words_pattern ON embedding_pattern_words (embedder, pattern);

-- How many patterns have a feature; the empty term counts them all. The bucket is that of the term.
CREATE TABLE embedding_terms (
    bucket   int    NOT NULL,
    embedder text   NOT NULL COLLATE "C",
    term     text   NOT NULL COLLATE "C",
    patterns bigint NOT NULL,
    PRIMARY KEY (bucket, embedder, term)
) WITH (fillfactor = 70);

-- A copy of the facts of each incident that filters ask for. Of two copies the one with the greater revision is the later.
CREATE TABLE incident_facts (
    bucket           int         NOT NULL,
    incident_id      bigint      NOT NULL,
    correlation_id   text        NOT NULL COLLATE "C",
    action_timestamp timestamptz NOT NULL,
    alert_name       text        COLLATE "C",
    alert_severity   text        COLLATE "C",
    action_type      text        COLLATE "C",
    namespace        text        COLLATE "C",
    cluster_name     text        COLLATE "C",
    execution_status text        NOT NULL COLLATE "C",
    revision         bigint      NOT NULL,
    PRIMARY KEY (bucket, incident_id)
) WITH (fillfactor = 80);
CREATE INDEX idx_incident_facts_correlation_id ON incident_facts (bucket, correlation_id);
CREATE INDEX idx_incident_facts_action_timestamp ON incident_facts (action_timestamp);
CREATE INDEX idx_incident_facts_alert_name ON incident_facts (alert_name);
CREATE INDEX idx_incident_facts_action_type ON incident_facts (action_type);
CREATE INDEX idx_incident_facts_namespace ON incident_facts (namespace);
CREATE INDEX idx_incident_facts_cluster_name ON incident_facts (cluster_name);

-- The patterns that the audits of an incident have, and when the first of them was received.
CREATE TABLE incident_patterns (
    bucket            int         NOT NULL,
    incident_id       bigint      NOT NULL,
    embedder          text        NOT NULL COLLATE "C",
    pattern           uuid        NOT NULL,
    action_timestamp  timestamptz NOT NULL,
    first_received_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, incident_id, embedder, pattern)
);
CREATE INDEX idx_incident_patterns_pattern ON incident_patterns (embedder, pattern, action_timestamp DESC, incident_id DESC);
