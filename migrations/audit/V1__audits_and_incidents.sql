-- Audits as they were posted, and the incident that the audits of one remediation request add up to.
-- Every table bears its bucket (docs/architecture.md, "Buckets"), and every primary key begins with it.

CREATE TABLE remediation_audit (
    bucket                 int         NOT NULL,
    id                     text        NOT NULL COLLATE "C",
    remediation_request_id text        NOT NULL COLLATE "C",
    alert_name             text        NOT NULL COLLATE "C",
    namespace              text        NOT NULL COLLATE "C",
    cluster                text        NOT NULL COLLATE "C",
    priority               text        COLLATE "C",
    severity               text        COLLATE "C",
    action_type            text        COLLATE "C",
    target_resource        text        COLLATE "C",
    status                 text        NOT NULL COLLATE "C",
    confidence             double precision,
    model_used             text        COLLATE "C",
    alert_fingerprint      text        COLLATE "C",
    environment            text        COLLATE "C",
    reasoning              text        COLLATE "C",
    duration_ms            bigint,
    error_message          text        COLLATE "C",
    executed_at            timestamptz,
    created_at             timestamptz NOT NULL,
    received_at            timestamptz NOT NULL,
    writer                 text        NOT NULL COLLATE "C",
    -- The columns that the service filled in because the body left them out.
    assumed                text[],
    attributes             jsonb,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX idx_remediation_request_id ON remediation_audit (remediation_request_id);
CREATE INDEX idx_alert_name ON remediation_audit (alert_name);
CREATE INDEX idx_cluster_namespace ON remediation_audit (cluster, namespace);
CREATE INDEX idx_created_at ON remediation_audit (created_at DESC);

CREATE TABLE workflow_audit (
    bucket                 int         NOT NULL,
    id                     text        NOT NULL COLLATE "C",
    workflow_id            text        NOT NULL COLLATE "C",
    step_name              text        NOT NULL COLLATE "C",
    step_status            text        NOT NULL COLLATE "C",
    duration_ms            bigint      NOT NULL,
    error_message          text        COLLATE "C",
    executed_at            timestamptz NOT NULL,
    remediation_request_id text        COLLATE "C",
    received_at            timestamptz NOT NULL,
    writer                 text        NOT NULL COLLATE "C",
    attributes             jsonb,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX idx_workflow_id ON workflow_audit (workflow_id);
CREATE INDEX idx_executed_at ON workflow_audit (executed_at DESC);

-- Which workflows belong to a remediation request; its bucket is the request's.
CREATE TABLE incident_workflows (
    bucket                 int  NOT NULL,
    remediation_request_id text NOT NULL COLLATE "C",
    workflow_id            text NOT NULL COLLATE "C",
    PRIMARY KEY (bucket, remediation_request_id, workflow_id)
);

-- What a repeat of an audit is known by, where its id alone does not tell: an Idempotency-Key, or the content of a body
-- without any time (then `windowed`). The bucket is that of `key`.
CREATE TABLE idempotency_keys (
    bucket      int         NOT NULL,
    key         bytea       NOT NULL,
    windowed    boolean     NOT NULL,
    content     bytea       NOT NULL,
    audit_id    text        NOT NULL COLLATE "C",
    received_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, key)
);
CREATE INDEX idx_idempotency_keys_received_at ON idempotency_keys (received_at);

-- An incident's id is nextval × 1024 + bucket.
CREATE SEQUENCE incident_number AS bigint MINVALUE 1 MAXVALUE 8796093022206;

-- Finds the incident of a remediation request, and its partition.
CREATE TABLE incident_ids (
    bucket           int         NOT NULL,
    correlation_id   text        NOT NULL COLLATE "C",
    id               bigint      NOT NULL,
    action_timestamp timestamptz NOT NULL,
    PRIMARY KEY (bucket, correlation_id)
);
CREATE INDEX idx_incident_ids_id ON incident_ids (bucket, id);

-- One row per remediation request. Each fact that audits state is followed by a column `…_by`: the id of the latest audit
-- that states it, without its `audit-`. Ids sort by the audits' own time, so the greater one wins, in whatever order they come.
CREATE TABLE resource_action_traces (
    bucket               int         NOT NULL,
    id                   bigint      NOT NULL,
    correlation_id       text        NOT NULL COLLATE "C",
    action_timestamp     timestamptz NOT NULL,
    alert_name           text        COLLATE "C",
    alert_name_by        uuid,
    alert_severity       text        COLLATE "C",
    alert_severity_by    uuid,
    action_type          text        COLLATE "C",
    action_type_by       uuid,
    namespace            text        COLLATE "C",
    namespace_by         uuid,
    cluster_name         text        COLLATE "C",
    cluster_name_by      uuid,
    environment          text        COLLATE "C",
    environment_by       uuid,
    alert_fingerprint    text        COLLATE "C",
    alert_fingerprint_by uuid,
    target_resource      text        COLLATE "C",
    target_resource_by   uuid,
    model_used           text        COLLATE "C",
    model_used_by        uuid,
    model_confidence     double precision,
    model_confidence_by  uuid,
    execution_status     text        NOT NULL COLLATE "C",
    start_time           timestamptz,
    end_time             timestamptz,
    duration_ms          bigint,
    error_message        text        COLLATE "C",
    -- Null while the status is the assumed `pending`.
    execution_status_by  uuid,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    PRIMARY KEY (bucket, id, action_timestamp)
) PARTITION BY RANGE (action_timestamp);
CREATE INDEX idx_traces_newest ON resource_action_traces (action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_alert_name ON resource_action_traces (alert_name, action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_alert_severity ON resource_action_traces (alert_severity, action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_action_type ON resource_action_traces (action_type, action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_namespace ON resource_action_traces (namespace, action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_cluster_name ON resource_action_traces (cluster_name, action_timestamp DESC, id DESC);
CREATE INDEX idx_traces_execution_status ON resource_action_traces (execution_status, action_timestamp DESC, id DESC);

-- Audits whose vector is still to be written. A row is born claimed by the process that writes the audit; who finds a
-- claim run out may renew it and make up for what was missed.
CREATE TABLE embedding_outbox (
    bucket        int         NOT NULL,
    audit_id      text        NOT NULL COLLATE "C",
    received_at   timestamptz NOT NULL,
    claimed_until timestamptz NOT NULL,
    attempts      int         NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, audit_id)
);
CREATE INDEX idx_embedding_outbox_claim ON embedding_outbox (claimed_until);
