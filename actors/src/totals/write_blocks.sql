-- totals.write_blocks
INSERT INTO count_blocks AS b (bucket, hour, generation, entries)
SELECT u.bucket, u.hour, s.generation + 1, u.entries
FROM unnest($1::int[], $2::int[], $3::bytea[]) AS u (bucket, hour, entries)
JOIN count_state AS s ON s.bucket = 0
ORDER BY u.bucket, u.hour
ON CONFLICT (bucket, hour) DO UPDATE SET generation = excluded.generation, entries = excluded.entries
