-- check.look
SELECT
    current_setting('server_version_num')::int AS server,
    current_setting('server_version') AS server_text,
    pg_encoding_to_char(d.encoding)::text AS encoding,
    d.datname::text AS database,
    current_user::text AS role,
    current_setting('search_path') AS search_path,
    current_schema()::text AS schema,
    has_schema_privilege(current_schema()::text, 'CREATE') AS may_create,
    EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector') AS has_extension,
    EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') AS is_extension_available,
    (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) OR EXISTS (
        SELECT 1 FROM pg_available_extension_versions AS v
        WHERE v.name = 'vector' AND (NOT v.superuser OR (v.trusted AND has_database_privilege(d.datname, 'CREATE')))
    ) AS may_make_extension,
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint AS room
FROM pg_database AS d
WHERE d.datname = current_database()
