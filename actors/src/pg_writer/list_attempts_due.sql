-- pg_writer.list_attempts_due
SELECT t.bucket, t.correlation_id
FROM resource_action_traces AS t
WHERE (t.attempts_due = 2 OR t.workload_by IS DISTINCT FROM t.target_resource_by) -- as the index has it
  AND t.attempts_due = 2
ORDER BY t.bucket, t.id
LIMIT $1
