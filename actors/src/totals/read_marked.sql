-- totals.read_marked
SELECT c.minutes, c.deltas, {counted|c.@} FROM count_changes AS c WHERE c.folded_by = $1
