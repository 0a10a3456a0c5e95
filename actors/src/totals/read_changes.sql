-- totals.read_changes
SELECT c.number, c.minutes, c.deltas, c.ids, {counted|c.@}
FROM count_changes AS c
WHERE c.xid >= (
    SELECT CASE WHEN s.floor > pg_snapshot_xmax(pg_current_snapshot()) THEN '0'::xid8 ELSE s.floor END
    FROM count_state AS s WHERE s.bucket = 0)
