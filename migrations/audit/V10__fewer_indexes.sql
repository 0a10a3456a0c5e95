-- concurrently
-- Facts that later audits change, or of few values, have no index of their own any more: the counts tell in which minutes their incidents
-- are. So a later audit changes no index, and the row is updated in its page.
DROP INDEX CONCURRENTLY IF EXISTS idx_traces_execution_status;
DROP INDEX CONCURRENTLY IF EXISTS idx_traces_action_type;
DROP INDEX CONCURRENTLY IF EXISTS idx_traces_alert_severity;
-- As idx_traces_lacking, of columns that a later audit leaves as they are.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_unfinished ON resource_action_traces (bucket, id) WHERE attempts_due = 2 OR (workload IS NULL AND target_resource IS NOT NULL);
DROP INDEX CONCURRENTLY IF EXISTS idx_traces_lacking;
-- Nobody looks audits up by their alert.
DROP INDEX CONCURRENTLY IF EXISTS idx_alert_name;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_alert_name ON remediation_audit USING brin (alert_name);
