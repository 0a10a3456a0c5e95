-- retention.list_ties
-- The workflows that these requests are tied to.
SELECT DISTINCT l.workflow_id
FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
JOIN incident_workflows AS l ON l.bucket = u.bucket AND l.remediation_request_id = u.correlation_id
