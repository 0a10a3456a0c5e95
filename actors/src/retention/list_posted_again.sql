-- retention.list_posted_again
-- Which of these audits are there.
SELECT a.id
FROM unnest($1::int[], $2::text[]) AS u (bucket, id)
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.id = u.id
