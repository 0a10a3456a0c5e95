-- retention.forget_ties
DELETE FROM incident_workflows AS l
USING unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
WHERE l.bucket = u.bucket AND l.remediation_request_id = u.correlation_id
