-- retention.forget_audits
DELETE FROM remediation_audit AS a
USING unnest($1::int[], $2::text[]) AS u (bucket, id)
WHERE a.bucket = u.bucket AND a.id = u.id
