-- totals.forget_folded_incidents
-- But for those of the last folds ($1).
DELETE FROM folded_incidents AS f
WHERE f.bucket = 0 AND f.generation <= (SELECT s.generation - $1 FROM count_state AS s WHERE s.bucket = 0)
