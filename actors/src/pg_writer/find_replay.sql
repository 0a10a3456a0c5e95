-- pg_writer.find_replay
-- The audit that a body with a time outside the window may repeat: by its key, or by its id.
SELECT k.audit_id, k.content FROM idempotency_keys AS k WHERE k.bucket = $1 AND k.key = $2
