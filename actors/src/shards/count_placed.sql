-- shards.count_placed
-- How many of these shards are still where they were known to be.
SELECT count(*) AS placed
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS u (shard, host, port)
JOIN pg_catalog.pg_dist_placement AS p ON p.shardid = u.shard AND p.shardstate = 1
JOIN pg_catalog.pg_dist_node AS n ON n.groupid = p.groupid AND n.noderole = 'primary'
WHERE n.nodename = u.host AND n.nodeport = u.port
