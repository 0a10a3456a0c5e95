-- totals.add_deltas
INSERT INTO incident_deltas (bucket, number, delta, {counted|@})
SELECT u.bucket, nextval('incident_delta_number'), u.delta, {counted|u.@}
FROM unnest($*::int[], $*::bigint[], {counted|$*::#type[]}) AS u (bucket, delta, {counted|@})
ORDER BY u.bucket
