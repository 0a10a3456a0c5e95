-- Fills the store with :rows incidents over seven months, four facts each, as the service would have left them.
INSERT INTO incident_ids (bucket, correlation_id, id, action_timestamp)
SELECT n % 1024, 'fill-' || n, n * 1024 + n % 1024, to_timestamp(1764000000 - (n * 18144000.0 / :rows))
FROM generate_series(1::bigint, :rows) AS n;
SELECT setval('incident_number', :rows + 1);
INSERT INTO resource_action_traces (
    bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    target_resource, workload, environment, last_audit_at, model_confidence, execution_status, start_time, end_time, duration_ms, created_at, updated_at)
SELECT
    bucket, id, correlation_id, action_timestamp, 'Alert' || id / 1024 % 40,
    (ARRAY['critical', 'high', 'medium', 'low'])[1 + id / 1024 % 4], 'action-' || id / 1024 % 8, 'ns-' || id / 1024 % 20,
    'cluster-' || id / 1024 % 4, 'deployment/web', 'deployment/web', (ARRAY['production', 'staging'])[1 + id / 1024 % 2], action_timestamp, 0.9, (ARRAY['completed', 'failed', 'pending'])[1 + id / 1024 % 3],
    action_timestamp, action_timestamp + interval '4.2 s', 4200, action_timestamp, action_timestamp
FROM incident_ids WHERE correlation_id LIKE 'fill-%';
INSERT INTO incident_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
SELECT min(bucket), nextval('incident_delta_number'), alert_name, alert_severity, action_type, namespace, cluster_name, count(*)
FROM resource_action_traces GROUP BY 3, 4, 5, 6, 7;
VACUUM ANALYZE;
CHECKPOINT;
