-- retention.list_other_ties
-- Which of these workflows ($1) other requests than these ($2) are tied to.
SELECT DISTINCT o.workflow_id FROM incident_workflows AS o
WHERE o.workflow_id = ANY ($1) AND o.remediation_request_id <> ALL ($2)
