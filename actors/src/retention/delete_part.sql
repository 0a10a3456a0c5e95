-- retention.delete_part
-- Deletes the incidents of some buckets, in the partition of a month that is over, whose latest audit is older than what is kept ($3), and
-- counts them for the totals; the trigger is told so (migration V9).
WITH gone AS (
    DELETE FROM {partition} AS t WHERE t.bucket >= $1 AND t.bucket < $2 AND {last_audit_at} < $3
    RETURNING t.action_timestamp, {counted|t.@}
)
SELECT {minute} AS minute, {counted|t.@}, count(*)::int AS n FROM gone AS t GROUP BY {minute}, {counted|t.@}
