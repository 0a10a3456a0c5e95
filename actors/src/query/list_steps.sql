-- query.list_steps
-- A page of steps in the order of execution; it ends where it would grow over 16 MiB of text, but for its first step.
SELECT {columns}
FROM (
    SELECT
        n.*,
        row_number() OVER first AS place,
        sum(COALESCE(octet_length(n.error_message), 0) + COALESCE(octet_length(n.attributes::text), 0)) OVER first AS bytes
    FROM (
        SELECT s.* FROM workflow_audit AS s
        WHERE s.bucket = $1 AND s.workflow_id = $2
        ORDER BY s.executed_at, s.received_at, s.id
        LIMIT $3 OFFSET $4
    ) AS n
    WINDOW first AS (ORDER BY n.executed_at, n.received_at, n.id)
) AS a
WHERE a.place = 1 OR a.bytes <= 16777216
ORDER BY a.executed_at, a.received_at, a.id
