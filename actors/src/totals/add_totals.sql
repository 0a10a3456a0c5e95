-- totals.add_totals
INSERT INTO incident_totals AS t (bucket, key, dimensions, total, {counted|@})
SELECT u.bucket, u.key, u.dimensions, u.total, {counted|u.@}
FROM unnest($*::int[], $*::bytea[], $*::int[], $*::bigint[], {counted|$*::#type[]})
    AS u (bucket, key, dimensions, total, {counted|@})
ORDER BY u.bucket, u.key
ON CONFLICT (bucket, key) DO UPDATE SET total = t.total + excluded.total
