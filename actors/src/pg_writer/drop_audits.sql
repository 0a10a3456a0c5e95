-- pg_writer.drop_audits
DELETE FROM remediation_audit AS a
USING unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
WHERE a.bucket = u.bucket AND a.remediation_request_id = u.correlation_id
RETURNING a.bucket, a.id, a.remediation_request_id AS correlation_id
