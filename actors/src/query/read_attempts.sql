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
-- Of the last one the incident has the audit's place, which leaves some ids that the audit may have (domain/audit_id.rs).
(SELECT t.id, 2147483647, a.id, a.writer, a.target_resource, a.error_message
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (bucket, id, action_timestamp)
JOIN resource_action_traces AS t ON t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp
/*whole*/CROSS JOIN LATERAL ({ids_of_status}) AS c (id)/*end*/
JOIN remediation_audit AS a ON a.bucket = u.bucket
    AND /*whole*/a.id = c.id/*end*/ /*distributed a.id IN ({ids_of_status}) */)
ORDER BY 1, 2
