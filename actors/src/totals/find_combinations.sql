-- totals.find_combinations
SELECT u.place, c.id
FROM unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS u (bucket, key, place)
JOIN count_combinations AS c ON c.bucket = u.bucket AND c.key = u.key
