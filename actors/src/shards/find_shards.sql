-- shards.find_shards
SELECT get_shard_id_for_distribution_column('remediation_audit', b.bucket) AS shard
FROM generate_series(0, $1::int) AS b (bucket)
ORDER BY b.bucket
