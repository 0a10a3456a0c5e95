-- pg_writer.list_without_workload
SELECT t.bucket, t.id, t.action_timestamp, t.target_resource, t.target_resource_by
FROM resource_action_traces AS t
WHERE (t.attempts_due = 2 OR (t.workload IS NULL AND t.target_resource IS NOT NULL)) -- as the index has it
  AND t.workload IS NULL AND t.target_resource IS NOT NULL
ORDER BY t.bucket, t.id
LIMIT $1
