-- pg_writer.drop_incidents
DELETE FROM resource_action_traces AS t
USING unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (bucket, id, action_timestamp)
WHERE t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp
