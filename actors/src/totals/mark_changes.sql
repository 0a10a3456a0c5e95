-- totals.mark_changes
UPDATE count_changes AS c SET folded_by = $1 WHERE c.folded_by IS NULL
