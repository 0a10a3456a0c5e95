-- pg_writer.take_deltas
DELETE FROM incident_deltas AS d
USING (SELECT bucket, number FROM incident_deltas ORDER BY bucket, number LIMIT $1) AS oldest
WHERE d.bucket = oldest.bucket AND d.number = oldest.number
RETURNING d.alert_name, d.alert_severity, d.action_type, d.namespace, d.cluster_name, d.delta
