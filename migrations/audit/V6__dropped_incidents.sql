-- Incidents that were older than what is kept when their request was audited anew, with the audits that they had: the vector store still
-- has something of them. What the audit database had is gone.
CREATE TABLE dropped_incidents (
    bucket      int    NOT NULL,
    incident_id bigint NOT NULL,
    audit_ids   text[] NOT NULL COLLATE "C",
    PRIMARY KEY (bucket, incident_id)
);
