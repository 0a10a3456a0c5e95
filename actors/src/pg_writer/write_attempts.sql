-- pg_writer.write_attempts
-- The attempts that ended before their request went on, of incidents whose rows this transaction has locked: so every audit that was
-- committed before is seen. An attempt is ended by the last final status before one that is not final. Audits can only add attempts, so that
-- no number goes away.
INSERT INTO earlier_attempts AS e (
    bucket, incident_id, number, action_timestamp, action_type, execution_status, duration_ms, ended_at, received_at)
SELECT
    s.bucket, s.incident_id, row_number() OVER (PARTITION BY s.incident_id ORDER BY s.created_at, s.progress, s.audit_id),
    s.action_timestamp, s.action_type, s.status, s.duration_ms,
    COALESCE(s.executed_at + COALESCE(s.duration_ms, 0) * interval '1 millisecond', s.created_at), s.received_at
FROM (
    SELECT
        n.*,
        lead(n.is_final) OVER (PARTITION BY n.incident_id ORDER BY n.created_at, n.progress, n.audit_id) AS is_next_final
    FROM (
        SELECT
            c.*,
            -- The latest action that was stated until then: the only one of those since it was stated.
            max(c.stated_action) OVER (PARTITION BY c.incident_id, c.actions) AS action_type
        FROM (
            SELECT
                t.bucket, t.id AS incident_id, t.action_timestamp, a.id AS audit_id, a.status, a.duration_ms, a.executed_at,
                a.created_at, a.received_at, {progress} AS progress, a.status NOT IN ('pending', 'in_progress') AS is_final,
                a.action_type AS stated_action,
                count(a.action_type) OVER (PARTITION BY t.id ORDER BY a.created_at, {progress}, a.id) AS actions
            FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
            JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id
    /*distributed AND i.bucket = ANY ($1) */
            JOIN resource_action_traces AS t
                ON t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp
            JOIN remediation_audit AS a ON a.bucket = i.bucket AND a.remediation_request_id = i.correlation_id
        ) AS c
    ) AS n
    WHERE n.progress > 0
) AS s
WHERE s.is_final AND NOT s.is_next_final
ORDER BY s.bucket, s.incident_id
ON CONFLICT (bucket, incident_id, number) DO UPDATE SET
    action_type = excluded.action_type, execution_status = excluded.execution_status, duration_ms = excluded.duration_ms,
    ended_at = excluded.ended_at, received_at = excluded.received_at
