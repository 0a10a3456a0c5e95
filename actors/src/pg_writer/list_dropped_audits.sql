-- pg_writer.list_dropped_audits
SELECT a.bucket, a.id
FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.remediation_request_id = u.correlation_id
