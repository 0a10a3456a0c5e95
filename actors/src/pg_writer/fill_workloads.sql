-- pg_writer.fill_workloads
-- An incident whose target has become another meanwhile stays for the next turn.
UPDATE resource_action_traces AS t
SET workload = u.workload, workload_by = u.stated_by
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::text[], $5::uuid[])
    AS u (bucket, id, action_timestamp, workload, stated_by)
WHERE t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp
  AND t.target_resource_by IS NOT DISTINCT FROM u.stated_by
