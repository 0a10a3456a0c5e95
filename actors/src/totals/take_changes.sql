-- totals.take_changes
-- The changes of the first transactions above the floor. `seen`: those below it were over by then.
DELETE FROM count_changes AS c
USING (
    SELECT f.floor, (
        SELECT o.xid
        FROM (SELECT n.xid FROM count_changes AS n WHERE n.xid >= f.floor ORDER BY n.xid LIMIT $1) AS o
        ORDER BY o.xid DESC LIMIT 1
    ) AS last
    FROM (
        SELECT CASE WHEN s.floor > pg_snapshot_xmax(pg_current_snapshot()) THEN '0'::xid8 ELSE s.floor END AS floor
        FROM count_state AS s WHERE s.bucket = 0
    ) AS f
) AS r
WHERE c.xid >= r.floor AND c.xid <= r.last
RETURNING c.xid::text::bigint AS xid, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS seen, c.minutes, c.deltas, c.ids, {counted|c.@}
