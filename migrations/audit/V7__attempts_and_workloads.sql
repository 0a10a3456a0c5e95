-- What recurrence, attempts, retention and stores that belong together need. An older program may run beside this one: it leaves the new
-- columns as they are.

ALTER TABLE resource_action_traces
    -- The workload of the target (domain/workload.rs).
    ADD COLUMN workload      text COLLATE "C",
    ADD COLUMN workload_by   uuid,
    -- The latest of its audits' own times.
    ADD COLUMN last_audit_at timestamptz,
    -- 2 while the attempts before the last one are still to be written. A flush with several audits that state a status brings 1: how they
    -- go together with those that are there is not told by the last of them alone.
    ADD COLUMN attempts_due  smallint NOT NULL DEFAULT 0;

-- The columns whose text was cut because it was long.
ALTER TABLE remediation_audit ADD COLUMN truncated text[];
ALTER TABLE workflow_audit ADD COLUMN truncated text[];

-- The attempts of an incident that ended before its request went on; the last one is the incident's own row. `number` counts from 1.
CREATE TABLE earlier_attempts (
    bucket           int         NOT NULL,
    incident_id      bigint      NOT NULL,
    number           int         NOT NULL,
    action_timestamp timestamptz NOT NULL,
    action_type      text        COLLATE "C",
    execution_status text        NOT NULL COLLATE "C",
    duration_ms      bigint,
    ended_at         timestamptz NOT NULL,
    -- Of the audit that states its status.
    received_at      timestamptz NOT NULL,
    PRIMARY KEY (bucket, incident_id, number)
);

-- The store's own name, made once: a vector store or a replica of another store is not taken for one of this.
CREATE TABLE store_identity (
    bucket int         NOT NULL,
    id     uuid        NOT NULL,
    PRIMARY KEY (bucket, id)
);
INSERT INTO store_identity (bucket, id) VALUES (0, gen_random_uuid());
