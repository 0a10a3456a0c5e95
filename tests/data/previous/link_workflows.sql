-- pg_writer.link_workflows
INSERT INTO incident_workflows (bucket, remediation_request_id, workflow_id)
SELECT u.bucket, u.remediation_request_id, u.workflow_id
FROM unnest($1::int[], $2::text[], $3::text[]) AS u (bucket, remediation_request_id, workflow_id)
ORDER BY u.bucket, u.remediation_request_id, u.workflow_id
ON CONFLICT (bucket, remediation_request_id, workflow_id) DO UPDATE SET bucket = excluded.bucket WHERE false
