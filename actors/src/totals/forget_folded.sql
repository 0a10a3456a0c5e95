-- totals.forget_folded
DELETE FROM count_changes AS c WHERE c.folded_by <= $1
