-- retention.forget_keys
-- Idempotency keys that are older than what is kept.
DELETE FROM idempotency_keys AS k
USING (SELECT bucket, key FROM idempotency_keys WHERE received_at < $1 ORDER BY received_at LIMIT $2) AS old
WHERE k.bucket = old.bucket AND k.key = old.key AND k.received_at < $1
