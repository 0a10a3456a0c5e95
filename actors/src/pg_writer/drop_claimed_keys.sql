-- pg_writer.drop_claimed_keys
-- Of the keys that are about to be claimed those whose window is over: where the tables are distributed a claim cannot take them over.
DELETE FROM idempotency_keys AS k
WHERE k.bucket = ANY ($1) AND k.key = ANY ($2) AND k.windowed AND k.received_at <= $3
