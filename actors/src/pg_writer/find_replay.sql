-- pg_writer.find_replay
-- The audit that holds a key. Locked, so that the acknowledgement waits for a COMMIT that is written to the log.
SELECT k.audit_id, k.content FROM idempotency_keys AS k WHERE k.bucket = $1 AND k.key = $2 FOR KEY SHARE
