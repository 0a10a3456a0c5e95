-- db.replica_lag
-- How far this database is behind its primary. A standby that has applied all that it received is not behind, however long ago that was.
SELECT CASE
    WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE GREATEST(COALESCE(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0), 0)
END::float8
