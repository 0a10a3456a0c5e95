-- pg_writer.add_totals
INSERT INTO incident_totals AS t (
    bucket, key, dimensions, alert_name, alert_severity, action_type, namespace, cluster_name, total)
SELECT u.bucket, u.key, u.dimensions, u.alert_name, u.alert_severity, u.action_type, u.namespace, u.cluster_name, u.total
FROM unnest($1::int[], $2::bytea[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[])
    AS u (bucket, key, dimensions, alert_name, alert_severity, action_type, namespace, cluster_name, total)
ORDER BY u.bucket, u.key
ON CONFLICT (bucket, key) DO UPDATE SET total = t.total + excluded.total
