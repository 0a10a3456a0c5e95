-- retention.list_partitions
SELECT c.relname::text AS name, i.inhdetachpending AS is_pending
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'resource_action_traces'::regclass
ORDER BY c.relname
