-- retention.forget_loose_steps
DELETE FROM workflow_audit AS s
USING unnest($1::int[], $2::text[]) AS u (bucket, id)
WHERE s.bucket = u.bucket AND s.id = u.id
