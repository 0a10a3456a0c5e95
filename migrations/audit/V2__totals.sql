-- Exact totals of incidents that stay cheap as the table grows.

-- The counted dimensions that an incident had before its last change: empty for a new one, null where they did not change.
-- An upsert cannot return the row that it replaced, but it can keep this of it.
ALTER TABLE resource_action_traces ADD COLUMN counted_before text[];

-- What changed since the last fold, appended in the transaction that changes the incident. The bucket is that of one of the
-- incidents.
CREATE SEQUENCE incident_delta_number AS bigint;
CREATE TABLE incident_deltas (
    bucket         int    NOT NULL,
    number         bigint NOT NULL,
    alert_name     text   COLLATE "C",
    alert_severity text   COLLATE "C",
    action_type    text   COLLATE "C",
    namespace      text   COLLATE "C",
    cluster_name   text   COLLATE "C",
    delta          bigint NOT NULL,
    PRIMARY KEY (bucket, number)
) WITH (autovacuum_enabled = off); -- the writer vacuums it after folding

-- How many incidents there are of each combination of dimensions (`dimensions` = 31, one bit each), and of some smaller sets that
-- are asked for often; the dimensions that are not of the set are null. `key` is a digest of all that, and the bucket is its own.
CREATE TABLE incident_totals (
    bucket         int    NOT NULL,
    key            bytea  NOT NULL,
    dimensions     int    NOT NULL,
    alert_name     text   COLLATE "C",
    alert_severity text   COLLATE "C",
    action_type    text   COLLATE "C",
    namespace      text   COLLATE "C",
    cluster_name   text   COLLATE "C",
    total          bigint NOT NULL,
    PRIMARY KEY (bucket, key)
) WITH (fillfactor = 70);
CREATE INDEX idx_incident_totals_alert_name ON incident_totals (alert_name) WHERE dimensions = 31;

-- Incidents that are there already.
INSERT INTO incident_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
SELECT s.bucket, nextval('incident_delta_number'), s.alert_name, s.alert_severity, s.action_type, s.namespace, s.cluster_name, s.delta
FROM (
    SELECT min(bucket) AS bucket, alert_name, alert_severity, action_type, namespace, cluster_name, count(*) AS delta
    FROM resource_action_traces
    GROUP BY alert_name, alert_severity, action_type, namespace, cluster_name
) AS s
ORDER BY s.bucket;
