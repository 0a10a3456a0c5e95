-- pg_writer.drop_empty_totals
DELETE FROM incident_totals AS t
USING unnest($1::int[], $2::bytea[]) AS u (bucket, key)
WHERE t.bucket = u.bucket AND t.key = u.key AND t.total = 0
