-- outbox.insert
INSERT INTO embedding_outbox (bucket, audit_id, received_at, claimed_until)
SELECT u.bucket, u.audit_id, u.received_at, u.claimed_until
FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS u (bucket, audit_id, received_at, claimed_until)
ORDER BY u.bucket, u.audit_id
-- A replay whose row waits already; one whose row is gone is embedded once more, to the same end.
ON CONFLICT (bucket, audit_id) DO NOTHING
