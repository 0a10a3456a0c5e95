-- pg_writer.list_attempts_due
SELECT t.bucket, t.correlation_id
FROM resource_action_traces AS t
WHERE (t.attempts_due = 2 OR (t.workload IS NULL AND t.target_resource IS NOT NULL)) -- as the index has it
  AND t.attempts_due = 2
ORDER BY t.bucket, t.id
LIMIT $1
