-- retention.forget_ids
-- An incident that was opened anew meanwhile has another id, and stays; who opens it now waits for this transaction.
DELETE FROM incident_ids AS i
USING unnest($1::int[], $2::text[], $3::bigint[]) AS u (bucket, correlation_id, id)
WHERE i.bucket = u.bucket AND i.correlation_id = u.correlation_id AND i.id = u.id
RETURNING i.bucket, i.correlation_id, i.id
