-- pg_writer.upsert_incidents
-- One row per incident of the flush, its facts merged already (domain/incident.rs). A fact is taken over where its audit is
-- later than the one that stated it so far. Rows are locked in the order of their keys. What changes for the totals goes into
-- `count_changes`; `counted_before` tells the trigger of migration V9 that the change is counted here.
/*whole*/WITH changed AS (/*end*/
INSERT INTO resource_action_traces AS t (
    bucket, id, correlation_id, action_timestamp, {stated|@, @_by}, execution_status, start_time, end_time, duration_ms,
    error_message, execution_status_by, created_at, updated_at, last_audit_at, attempts_due, counted_before,
    revision)
SELECT
    u.bucket, i.id, u.correlation_id, i.action_timestamp, {stated|u.@, u.@_by}, COALESCE(u.execution_status, 'pending'),
    u.start_time, u.end_time, u.duration_ms, u.error_message, u.execution_status_by, u.received_at, u.received_at,
    u.last_audit_at, u.attempts_due, ARRAY['new'], 1
FROM unnest(
    $*::int[], $*::text[], {stated|$*::#type[], $*::uuid[]}, $*::text[], $*::timestamptz[], $*::timestamptz[], $*::bigint[],
    $*::text[], $*::uuid[], $*::timestamptz[], $*::timestamptz[], $*::smallint[])
    AS u (
    bucket, correlation_id, {stated|@, @_by}, execution_status, start_time, end_time, duration_ms, error_message,
    execution_status_by, received_at, last_audit_at, attempts_due)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id
    /*distributed AND i.bucket = ANY ($1) */
ORDER BY u.bucket, i.id
ON CONFLICT (bucket, id, action_timestamp) DO UPDATE SET
    {stated|@ = CASE WHEN excluded.@_by > COALESCE(t.@_by, '00000000-0000-0000-0000-000000000000') THEN excluded.@ ELSE t.@ END,
    @_by = GREATEST(excluded.@_by, t.@_by)},
    execution_status = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.execution_status ELSE t.execution_status END,
    start_time = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.start_time ELSE t.start_time END,
    end_time = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.end_time ELSE t.end_time END,
    duration_ms = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.duration_ms ELSE t.duration_ms END,
    error_message = CASE WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') THEN excluded.error_message ELSE t.error_message END,
    execution_status_by = GREATEST(excluded.execution_status_by, t.execution_status_by),
    -- An attempt ends before the last one where a status that is not final follows a final one, or a status comes late. A replay looks
    -- late too, but brings no new audit.
    attempts_due = CASE
        WHEN t.attempts_due = 2 THEN 2
        WHEN excluded.attempts_due < 2 AND t.execution_status_by IS NULL THEN 0
        -- Without a status only an action tells something of attempts, and only one that comes late.
        WHEN excluded.attempts_due = 0 AND excluded.execution_status_by IS NULL
            AND (excluded.action_type_by < t.execution_status_by) IS NOT TRUE THEN 0
        WHEN excluded.attempts_due = 0 AND (
            excluded.execution_status_by = t.execution_status_by
            OR (excluded.execution_status_by > t.execution_status_by
                AND (t.execution_status IN ('pending', 'in_progress') OR excluded.execution_status NOT IN ('pending', 'in_progress')))
            -- Two final ones of one instant have nothing between them: a place begins with the time and the bucket.
            OR (excluded.execution_status_by < t.execution_status_by
                AND excluded.execution_status NOT IN ('pending', 'in_progress') AND t.execution_status NOT IN ('pending', 'in_progress')
                AND left(excluded.execution_status_by::text, 18) = left(t.execution_status_by::text, 18))) THEN 0
        WHEN {has_new_audit} THEN 2
        ELSE 0
    END,
    updated_at = GREATEST(excluded.updated_at, t.updated_at),
    last_audit_at = GREATEST(excluded.last_audit_at, t.last_audit_at),
    revision = t.revision + 1,
    -- What it was counted as, where that changes: all facts, or the status alone.
    counted_before = CASE
        WHEN {counted OR|('@' <> 'execution_status' AND excluded.@_by > COALESCE(t.@_by, '00000000-0000-0000-0000-000000000000') AND excluded.@ IS DISTINCT FROM t.@)}
        THEN ARRAY[{counted|t.@}]
        WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000') AND excluded.execution_status <> t.execution_status
        THEN ARRAY['status', t.execution_status]
        -- What is not counted, but tells how an attempt went (attempts/).
        WHEN excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000')
            OR excluded.action_type_by < t.execution_status_by OR excluded.attempts_due > 0
            OR {uncounted OR|(excluded.@_by > COALESCE(t.@_by, '00000000-0000-0000-0000-000000000000') AND excluded.@ IS DISTINCT FROM t.@)}
        THEN ARRAY['other']
        ELSE ARRAY['kept']
    END
-- What states nothing later leaves the row as it is: replays do.
WHERE {stated OR|excluded.@_by > COALESCE(t.@_by, '00000000-0000-0000-0000-000000000000')}
    OR excluded.execution_status_by > COALESCE(t.execution_status_by, '00000000-0000-0000-0000-000000000000')
    OR excluded.last_audit_at > COALESCE(t.last_audit_at, '-infinity')
    OR ((excluded.attempts_due > 0 OR excluded.execution_status_by < t.execution_status_by OR excluded.action_type_by < t.execution_status_by)
        AND {has_new_audit})
RETURNING bucket, id, correlation_id, attempts_due = 2 AS is_due, /*whole*/{minute} AS minute/*end*//*distributed action_timestamp */, {counted|@}, counted_before
-- Where the tables are distributed a statement that writes to two of them needs all nodes: the service counts (changed.rs).
/*whole*/), changes AS (
INSERT INTO count_changes (bucket, number, minutes, deltas, ids, {counted|@})
SELECT
    min(s.bucket), nextval('count_change_number'), array_agg(s.minute), array_agg(s.delta), array_agg(s.id), {counted|array_agg(s.@)}
FROM (
    SELECT bucket, minute, CASE WHEN counted_before = ARRAY['other'] THEN 0 ELSE 1 END AS delta, id, {counted|@}
    FROM changed
    WHERE counted_before <> ARRAY['kept']
    UNION ALL
    SELECT
        bucket, minute, -1, id, {counted|CASE WHEN cardinality(counted_before) = 7 THEN counted_before[#place] WHEN '@' = 'execution_status' THEN counted_before[2] ELSE @ END}
    FROM changed
    WHERE cardinality(counted_before) > 1
) AS s
HAVING count(*) > 0
)
-- Of how many incidents a fact that was known has become another, and whose attempts are due.
SELECT
    {counted|count(*) FILTER (WHERE cardinality(counted_before) = 7 AND counted_before[#place] <> @) AS @},
    array_agg(bucket) FILTER (WHERE is_due) AS due_buckets,
    array_agg(correlation_id) FILTER (WHERE is_due) AS due
FROM changed/*end*/
