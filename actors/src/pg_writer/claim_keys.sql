-- pg_writer.claim_keys
-- Takes the keys that are free, and those of untimed bodies that were last claimed by $7: their window is over. Where the tables are
-- distributed those are gone already (drop_claimed_keys.sql).
INSERT INTO idempotency_keys AS k (bucket, key, windowed, content, audit_id, received_at)
SELECT u.bucket, u.key, u.windowed, u.content, u.audit_id, u.received_at
FROM unnest($1::int[], $2::bytea[], $3::bool[], $4::bytea[], $5::text[], $6::timestamptz[])
    AS u (bucket, key, windowed, content, audit_id, received_at)
/*distributed WHERE $7::timestamptz IS NOT NULL */
ORDER BY u.bucket, u.key
ON CONFLICT (bucket, key) DO UPDATE
SET content = excluded.content, audit_id = excluded.audit_id, received_at = excluded.received_at
WHERE /*whole*/k.windowed AND k.received_at <= $7/*end*/ /*distributed false */
