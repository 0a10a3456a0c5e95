-- reindex.list
SELECT
    a.bucket, a.id,
    -- Has text, and is not queued already. What was queued and is not any more has its vector, which is looked for after this.
    o.audit_id IS NULL AND (
        a.reasoning IS NOT NULL OR a.error_message IS NOT NULL OR NOT COALESCE('alert_name' = ANY (a.assumed), false)
    ) AS may_lack
FROM remediation_audit AS a
LEFT JOIN embedding_outbox AS o ON o.bucket = a.bucket AND o.audit_id = a.id
WHERE (a.bucket, a.id) > ($1, $2)
ORDER BY a.bucket, a.id
LIMIT $3
