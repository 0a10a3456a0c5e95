-- query.timeline_steps
-- The newest steps of some workflows, as many as fit into both bounds, in the order of execution.
SELECT {columns}, a.steps_total
FROM (
    SELECT
        n.*,
        count(*) OVER () AS steps_total,
        row_number() OVER newest AS place,
        sum(COALESCE(octet_length(n.error_message), 0) + COALESCE(octet_length(n.attributes::text), 0)) OVER newest AS bytes
    FROM (
        SELECT s.*
        FROM unnest($1::int[], $2::text[]) AS u (bucket, workflow_id)
        JOIN workflow_audit AS s ON s.bucket = u.bucket AND s.workflow_id = u.workflow_id
    /*distributed AND s.bucket = ANY ($1) */
    ) AS n
    WINDOW newest AS (ORDER BY n.executed_at DESC, n.received_at DESC, n.id DESC)
) AS a
WHERE a.place <= 1000 AND (a.place = 1 OR a.bytes <= 16777216)
ORDER BY a.executed_at, a.received_at, a.id
