-- pg_writer.clear_attempts
-- Takes the note back, and locks the incidents.
UPDATE resource_action_traces AS t
SET attempts_due = 0
FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id
    /*distributed AND i.bucket = ANY ($1) */
WHERE t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp AND t.attempts_due <> 0
