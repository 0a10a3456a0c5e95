-- Which incidents a workflow is tied to, for retention.
CREATE INDEX idx_incident_workflows_workflow_id ON incident_workflows (workflow_id);
