-- query.list_audits
-- The newest audits of an incident, as many as fit into both bounds, in their order.
SELECT {columns}
FROM (
    SELECT b.*
    FROM (
        SELECT
            n.*,
            row_number() OVER newest AS place,
            sum(COALESCE(octet_length(n.reasoning), 0) + COALESCE(octet_length(n.error_message), 0)
                + COALESCE(octet_length(n.attributes::text), 0)) OVER newest AS bytes
        FROM (
            SELECT r.* FROM remediation_audit AS r
            WHERE r.bucket = $1 AND r.remediation_request_id = $2
            ORDER BY r.created_at DESC, r.received_at DESC, r.id DESC
            LIMIT 1000
        ) AS n
        WINDOW newest AS (ORDER BY n.created_at DESC, n.received_at DESC, n.id DESC)
    ) AS b
    WHERE b.place = 1 OR b.bytes <= 16777216
) AS a
ORDER BY a.created_at, a.received_at, a.id
