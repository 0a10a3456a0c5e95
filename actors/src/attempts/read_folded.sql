-- attempts.read_folded
-- The incidents of the folds after a generation ($1), up to another ($2).
SELECT f.minutes, f.ids
FROM folded_incidents AS f
WHERE f.bucket = 0 AND f.generation > $1 AND f.generation <= $2
