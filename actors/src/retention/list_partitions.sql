-- retention.list_partitions
-- Tables named as months, also those that are being detached, or are detached and not dropped yet.
SELECT c.relname::text AS name, i.inhrelid IS NOT NULL AS is_listed, COALESCE(i.inhdetachpending, false) AS is_pending
FROM pg_class AS c
JOIN pg_class AS p ON p.oid = 'resource_action_traces'::regclass AND p.relnamespace = c.relnamespace
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = p.oid
WHERE c.relkind = 'r' AND starts_with(c.relname, 'resource_action_traces_y')
ORDER BY c.relname
