-- totals.note_folded
-- The incidents ($2) of the notes that this fold takes, with their minutes ($1).
INSERT INTO folded_incidents (bucket, generation, minutes, ids)
SELECT u.bucket, s.generation + 1, $1, $2
FROM unnest(ARRAY[0]) AS u (bucket)
JOIN count_state AS s ON s.bucket = u.bucket
ORDER BY u.bucket
