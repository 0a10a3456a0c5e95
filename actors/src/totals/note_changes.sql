-- totals.note_changes
INSERT INTO count_changes (bucket, number, minutes, deltas, {counted|@})
SELECT $*::int AS bucket, nextval('count_change_number'), array_agg(u.minute), array_agg(u.delta), {counted|array_agg(u.@)}
FROM unnest($*::int[], $*::int[], {counted|$*::#type[]}) AS u (minute, delta, {counted|@})
HAVING count(*) > 0
ORDER BY bucket
