-- pg_writer.find_partition
SELECT EXISTS (
    SELECT 1 FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'resource_action_traces'::regclass AND c.relname = $1::text)
