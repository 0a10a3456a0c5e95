-- vector_writer.write_incident_patterns
INSERT INTO incident_patterns AS p (bucket, incident_id, embedder, pattern, action_timestamp, first_received_at)
SELECT u.bucket, u.incident_id, $3, u.pattern, u.action_timestamp, u.received_at
FROM unnest($1::int[], $2::bigint[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
    AS u (bucket, incident_id, pattern, action_timestamp, received_at)
ORDER BY u.bucket, u.incident_id, u.pattern
ON CONFLICT (bucket, incident_id, embedder, pattern) DO UPDATE SET first_received_at = excluded.first_received_at
WHERE excluded.first_received_at < p.first_received_at
