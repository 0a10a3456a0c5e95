-- concurrently
-- The history of a workload. Incidents without a target cost nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_traces_workload ON resource_action_traces (workload, action_timestamp DESC, id DESC) WHERE workload IS NOT NULL;
