-- pg_writer.drop_windowed_keys
-- Contents of untimed bodies whose window is over. Where one is claimed anew meanwhile, its row is looked at again and stays.
DELETE FROM idempotency_keys AS k
USING (
    SELECT bucket, key FROM idempotency_keys
    WHERE windowed AND received_at <= $1
    ORDER BY received_at
    LIMIT $2
) AS old
WHERE k.bucket = old.bucket AND k.key = old.key AND k.windowed AND k.received_at <= $1
