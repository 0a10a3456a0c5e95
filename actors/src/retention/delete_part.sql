-- retention.delete_part
-- Deletes the incidents of some buckets, in the partition of a month that is over, whose latest audit is older than what is kept ($3), and
-- counts them for the totals; the trigger is told so (migration V9).
WITH gone AS (
    DELETE FROM {partition} AS t WHERE t.bucket >= $1 AND t.bucket < $2 AND {last_audit_at} < $3
    RETURNING {minute} AS minute, {counted|t.@}
)
SELECT g.minute, {counted|g.@}, count(*)::int AS n FROM gone AS g GROUP BY g.minute, {counted|g.@}
