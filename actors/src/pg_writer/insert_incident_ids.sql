-- pg_writer.insert_incident_ids
-- Opens the incidents that are not there yet. The sequence is only asked for those.
INSERT INTO incident_ids AS t (bucket, correlation_id, id, action_timestamp)
SELECT u.bucket, u.correlation_id, nextval('incident_number') * 1024 + u.bucket, u.action_timestamp
FROM (
    SELECT n.bucket, n.correlation_id, n.action_timestamp
    FROM unnest($1::int[], $2::text[], $3::timestamptz[]) AS n (bucket, correlation_id, action_timestamp)
    WHERE /*whole*/NOT EXISTS (
        SELECT 1 FROM incident_ids AS i WHERE i.bucket = n.bucket AND i.correlation_id = n.correlation_id)/*end*/
        /*distributed (n.bucket, n.correlation_id) NOT IN (
            SELECT i.bucket, i.correlation_id FROM incident_ids AS i
            WHERE i.bucket = ANY ($1) AND i.correlation_id = ANY ($2)) */
    ORDER BY n.bucket, n.correlation_id
) AS u
ON CONFLICT (bucket, correlation_id) DO NOTHING
