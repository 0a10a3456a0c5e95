-- outbox.read_facts
SELECT t.bucket, t.id, t.correlation_id, t.action_timestamp, t.revision, {copied|t.@}
FROM unnest($1::int[], $2::text[]) AS u (bucket, correlation_id)
JOIN incident_ids AS i ON i.bucket = u.bucket AND i.correlation_id = u.correlation_id
    /*distributed AND i.bucket = ANY ($1) */
JOIN resource_action_traces AS t ON t.bucket = i.bucket AND t.id = i.id AND t.action_timestamp = i.action_timestamp
