-- totals.insert_combinations
INSERT INTO count_combinations (bucket, key, id, {counted|@})
SELECT u.bucket, u.key, u.id, {counted|u.@}
FROM unnest($*::int[], $*::bytea[], $*::int[], {counted|$*::#type[]}) AS u (bucket, key, id, {counted|@})
ORDER BY u.bucket, u.key
