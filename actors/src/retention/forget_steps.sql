-- retention.forget_steps
-- Old steps of workflows that no other incident is tied to.
DELETE FROM workflow_audit AS s
USING (
    SELECT l.workflow_id
    FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
    JOIN incident_workflows AS l ON l.bucket = u.bucket AND l.remediation_request_id = u.correlation_id
) AS w
WHERE s.workflow_id = w.workflow_id AND s.executed_at < $3
  AND NOT EXISTS (
    SELECT FROM incident_workflows AS o
    WHERE o.workflow_id = w.workflow_id AND o.remediation_request_id <> ALL ($2::text[]))
