-- retention.list_dropped_audits
-- The audits of these incidents; one that was opened anew meanwhile has another id, and none here.
SELECT a.bucket, a.id, i.id AS incident_id
FROM unnest($1::int[], $2::text[], $3::bigint[]) AS u (bucket, correlation_id, id)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id AND i.id = u.id
JOIN remediation_audit AS a ON a.bucket = i.bucket AND a.remediation_request_id = i.correlation_id
