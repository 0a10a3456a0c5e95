-- shards.list_shards
SELECT
    c.relname::text AS table_name, s.shardid AS shard, (c.relname || '_' || s.shardid)::text AS shard_name,
    s.shardminvalue::int AS first_hash, n.nodename AS host, n.nodeport AS port
FROM pg_catalog.pg_dist_shard AS s
JOIN pg_class AS c ON c.oid = s.logicalrelid
JOIN pg_catalog.pg_dist_placement AS p ON p.shardid = s.shardid AND p.shardstate = 1
JOIN pg_catalog.pg_dist_node AS n ON n.groupid = p.groupid AND n.noderole = 'primary'
WHERE c.relname = ANY ($1::text[]) AND pg_table_is_visible(c.oid)
ORDER BY s.shardminvalue::int, c.relname
