-- Fills the store with :rows incidents over a year, of :combinations combinations of alert, severity, action, namespace, cluster and
-- environment, as the service would have left them but for the counts, which `check --totals --repair` makes.
SET session_replication_role = replica;
INSERT INTO incident_ids (bucket, correlation_id, id, action_timestamp)
SELECT n % 1024, 'fill-' || n, n * 1024 + n % 1024, to_timestamp(:newest - (n * 31536000.0 / :rows))
FROM generate_series(1::bigint, :rows) AS n;
SELECT setval('incident_number', :rows + 1);
INSERT INTO resource_action_traces (
    bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
    target_resource, workload, environment, last_audit_at, model_confidence, execution_status, start_time, end_time, duration_ms, created_at, updated_at)
SELECT
    bucket, id, correlation_id, action_timestamp, 'Alert' || c % 50, (ARRAY['critical', 'high', 'medium', 'low'])[1 + c % 50 % 4],
    'action-' || c / 50000 % 4 * 8 + c % 50 % 8, 'ns-' || c / 50 % 100, 'cluster-' || c / 5000 % 10 * 4 + c / 50 % 4,
    target, 'deployment/web', (ARRAY['production', 'staging'])[1 + c / 50 % 4 % 2], action_timestamp, 0.9,
    (ARRAY['completed', 'failed', 'pending'])[1 + id / 1024 % 3],
    action_timestamp, action_timestamp + interval '4.2 s', 4200, action_timestamp, action_timestamp
FROM (
    SELECT
        *, id / 1024 * 7919 % :combinations AS c,
        CASE WHEN id / 1024 % 5 > 0 THEN 'deployment/web' ELSE 'pod/web-' || id / 1024 / 5 % 2000 END AS target
    FROM incident_ids WHERE correlation_id LIKE 'fill-%'
) AS i;
VACUUM ANALYZE;
CHECKPOINT;
