-- concurrently
-- Pages and totals by these facts. Audits that do not state them cost nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_target_resource ON resource_action_traces (target_resource, action_timestamp DESC, id DESC) WHERE target_resource IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_alert_fingerprint ON resource_action_traces (alert_fingerprint, action_timestamp DESC, id DESC) WHERE alert_fingerprint IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_environment ON resource_action_traces (environment, action_timestamp DESC, id DESC) WHERE environment IS NOT NULL;
-- Incidents of which something is to be made up for: their attempts, or the workload of their target, which an older program left out. As a
-- rule it is empty.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_lacking ON resource_action_traces (bucket, id) WHERE attempts_due = 2 OR workload_by IS DISTINCT FROM target_resource_by;
-- By when audits were received. It grows with the clock, so that ranges of blocks tell.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_remediation_audit_received ON remediation_audit USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_workflow_audit_received ON workflow_audit USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
