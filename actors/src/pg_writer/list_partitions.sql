-- pg_writer.list_partitions
SELECT c.relname::text AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'resource_action_traces'::regclass
ORDER BY c.relname
