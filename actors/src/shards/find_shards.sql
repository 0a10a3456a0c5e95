-- shards.find_shards
-- By the catalogue alone: what Citus remembers of it is older for a moment after a shard was split.
SELECT s.shardid AS shard
FROM generate_series(0, $1::int) AS b (bucket)
LEFT JOIN pg_catalog.pg_dist_shard AS s
    ON s.logicalrelid = to_regclass('remediation_audit')
    AND pg_catalog.worker_hash(b.bucket) BETWEEN s.shardminvalue::int AND s.shardmaxvalue::int
ORDER BY b.bucket
