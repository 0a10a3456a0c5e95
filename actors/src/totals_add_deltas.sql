-- totals.add_deltas
INSERT INTO incident_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
SELECT
    u.bucket, nextval('incident_delta_number'), u.alert_name, u.alert_severity, u.action_type, u.namespace, u.cluster_name, u.delta
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
    AS u (bucket, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
ORDER BY u.bucket
