-- totals.read_unfolded
-- The changes that the blocks of a generation ($1) do not have. Marks of that generation and of those before it were seen on all nodes before
-- its blocks were written.
SELECT c.number, c.minutes, c.deltas, c.ids, {counted|c.@}
FROM count_changes AS c
WHERE COALESCE(c.folded_by, 9223372036854775807) > $1
