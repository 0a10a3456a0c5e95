-- db.measure
-- The size of the database, and how many months after this one have their partition.
SELECT
    pg_database_size(current_database()) AS bytes,
    (
        SELECT count(*)
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE
            i.inhparent = to_regclass('resource_action_traces')
            AND c.relname > to_char(now() AT TIME ZONE 'UTC', '"resource_action_traces_y"YYYY"m"MM')
    ) AS months_ahead
