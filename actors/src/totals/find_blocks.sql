-- totals.find_blocks
SELECT b.hour, b.entries
FROM unnest($1::int[], $2::int[]) AS u (bucket, hour)
JOIN count_blocks AS b ON b.bucket = u.bucket AND b.hour = u.hour
