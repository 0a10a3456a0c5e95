-- concurrently
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_incident_facts_target_resource ON incident_facts (target_resource);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_incident_facts_alert_fingerprint ON incident_facts (alert_fingerprint);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_incident_facts_incomplete ON incident_facts (bucket, incident_id) WHERE NOT is_complete;
