-- Which trace the request that brought an audit was a part of. It is no part of the audit's content.
ALTER TABLE remediation_audit ADD COLUMN IF NOT EXISTS trace_id text;
ALTER TABLE workflow_audit ADD COLUMN IF NOT EXISTS trace_id text;
