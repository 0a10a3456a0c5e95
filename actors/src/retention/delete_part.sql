-- retention.delete_part
-- Deletes the incidents of some buckets, in the partition of a month that is over, whose latest audit is older than what is kept ($3), and
-- counts them for the totals.
WITH gone AS (
    DELETE FROM {partition} AS t WHERE t.bucket >= $1 AND t.bucket < $2 AND {last_audit_at} < $3
    RETURNING {counted|t.@}
)
SELECT {counted|g.@}, count(*) AS n FROM gone AS g GROUP BY {counted|g.@}
