-- query.read_attempts
-- The audit that states the end of each attempt. Of those before the last one it is told by what is kept of it.
(SELECT DISTINCT ON (e.incident_id, e.number)
    e.incident_id, e.number, a.id AS audit_id, a.writer, a.target_resource, a.error_message
FROM unnest($1::int[], $2::bigint[]) AS u (bucket, id)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.id = u.id
JOIN earlier_attempts AS e ON e.bucket = u.bucket AND e.incident_id = u.id
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.remediation_request_id = i.correlation_id
    AND a.received_at = e.received_at AND a.status = e.execution_status
    AND COALESCE(a.executed_at + COALESCE(a.duration_ms, 0) * interval '1 millisecond', a.created_at) = e.ended_at
ORDER BY e.incident_id, e.number, a.id)
UNION ALL
-- Of the last one the incident has the audit's place, which is its id with the progress of its status behind the bucket, without its last three
-- bits; or, from an older program, with the progress in the 21st letter in place of what is there (domain/audit_id.rs).
(SELECT t.id, 2147483647, a.id, a.writer, a.target_resource, a.error_message
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (bucket, id, action_timestamp)
JOIN resource_action_traces AS t ON t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp
JOIN remediation_audit AS a ON a.bucket = u.bucket AND a.id = ANY (ARRAY(
    SELECT 'audit-' || overlay(t.execution_status_by::text PLACING to_hex(letter) FROM 21 FOR 1)
    FROM generate_series(0, 15) AS letter
    UNION ALL
    SELECT 'audit-' || left(t.execution_status_by::text, 19) || left(n.tail, 4) || '-' || right(n.tail, 12)
    FROM (
        SELECT lpad(to_hex((p.head & 248) | (p.digest * 8 >> 56)::int), 2, '0') || lpad(to_hex(p.digest * 8 & 72057594037927935 | last), 14, '0') AS tail
        FROM (
            SELECT
                ('x' || substr(t.execution_status_by::text, 20, 2))::bit(8)::int AS head,
                ('x' || right(translate(t.execution_status_by::text, '-', ''), 14))::bit(56)::bigint AS digest
        ) AS p
        CROSS JOIN generate_series(0, 7) AS last
    ) AS n)))
ORDER BY 1, 2
