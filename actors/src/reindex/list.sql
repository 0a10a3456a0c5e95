-- reindex.list
SELECT
    a.bucket, a.id,
    a.reasoning IS NOT NULL OR a.error_message IS NOT NULL OR NOT COALESCE('alert_name' = ANY (a.assumed), false) AS has_text
FROM remediation_audit AS a
WHERE (a.bucket, a.id) > ($1, $2)
ORDER BY a.bucket, a.id
LIMIT $3
