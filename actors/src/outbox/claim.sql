-- outbox.claim
-- Claims stale rows of one bucket and returns their texts. What was set aside stays where it is.
WITH claimed AS (
    UPDATE embedding_outbox AS o
    SET claimed_until = $3
    WHERE o.bucket = $1 AND o.audit_id = ANY (ARRAY(
        SELECT s.audit_id
        FROM embedding_outbox AS s
        WHERE s.bucket = $1 AND s.claimed_until <= $2 AND s.attempts < $5
        ORDER BY s.audit_id
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING o.bucket, o.audit_id, o.received_at
)
SELECT
    c.audit_id, c.received_at, a.remediation_request_id,
    CASE WHEN 'alert_name' = ANY (a.assumed) THEN NULL ELSE a.alert_name END AS alert_name,
    a.reasoning, a.error_message, a.target_resource, a.attributes::text AS attributes
FROM claimed AS c
LEFT JOIN remediation_audit AS a ON a.bucket = c.bucket AND a.id = c.audit_id
