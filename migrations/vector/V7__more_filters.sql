-- Facts that have become filters. Copies from before lack them, and are completed in the background.
ALTER TABLE incident_facts
    ADD COLUMN target_resource   text    COLLATE "C",
    ADD COLUMN alert_fingerprint text    COLLATE "C",
    ADD COLUMN environment       text    COLLATE "C",
    ADD COLUMN is_complete       boolean NOT NULL DEFAULT false;

-- The store of audits that this vector store belongs to: taken over by the first service that comes.
CREATE TABLE vector_store_owner (
    bucket   int  NOT NULL,
    name     text NOT NULL COLLATE "C",
    store_id uuid NOT NULL,
    PRIMARY KEY (bucket, name)
);
