-- vector_writer.write_facts
-- A copy of the facts; one that is later already stays, but for one that lacks some of them.
INSERT INTO incident_facts AS f (bucket, incident_id, correlation_id, action_timestamp, revision, is_complete, {copied|@})
SELECT u.bucket, u.incident_id, u.correlation_id, u.action_timestamp, u.revision, true, {copied|u.@}
FROM unnest($*::int[], $*::bigint[], $*::text[], $*::timestamptz[], $*::bigint[], {copied|$*::#type[]})
    AS u (bucket, incident_id, correlation_id, action_timestamp, revision, {copied|@})
ORDER BY u.bucket, u.incident_id
ON CONFLICT (bucket, incident_id) DO UPDATE SET {copied|@ = excluded.@}, revision = excluded.revision, is_complete = true
WHERE excluded.revision > f.revision OR (excluded.revision = f.revision AND NOT f.is_complete)
