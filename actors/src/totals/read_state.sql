-- totals.read_state
-- The state of the counts, and what was changed by transactions that were not over when it was last asked ($1); where there was a fold since
-- ($2), without the changes. A floor beyond all transactions comes from another server, by a dump. Where the tables are distributed the
-- changes are read by themselves (read_unfolded.sql).
SELECT
    s.generation, s.is_whole, pg_postmaster_start_time() AS server, /*whole*/pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS seen,
    c.number, c.minutes, c.deltas, c.ids, {counted|c.@}
FROM count_state AS s
LEFT JOIN count_changes AS c
    ON s.generation = $2
    AND c.xid >= GREATEST(
        $1::text::xid8,
        CASE WHEN s.floor > pg_snapshot_xmax(pg_current_snapshot()) THEN '0'::xid8 ELSE s.floor END)/*end*/
    /*distributed LEAST($1::text::bigint, $2::bigint, 0) AS seen
FROM count_state AS s */
WHERE s.bucket = 0
