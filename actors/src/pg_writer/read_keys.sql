-- pg_writer.read_keys
-- Who holds the keys: an audit of this flush, or the one that it repeats.
SELECT k.key, k.content, k.audit_id, k.received_at
FROM unnest($1::int[], $2::bytea[]) AS u (bucket, key)
JOIN idempotency_keys AS k ON k.bucket = u.bucket AND k.key = u.key
    /*distributed AND k.bucket = ANY ($1) */
