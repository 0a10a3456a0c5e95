-- vector_writer.read_pattern_facts
-- As the facts are after they were written, whoever wrote them last; of every embedder, since all have the same facts.
SELECT p.embedder, p.pattern, {copied|f.@}
FROM unnest($1::int[], $2::bigint[]) AS u (bucket, incident_id)
JOIN incident_facts AS f ON f.bucket = u.bucket AND f.incident_id = u.incident_id
    /*distributed AND f.bucket = ANY ($1) */
JOIN incident_patterns AS p ON p.bucket = u.bucket AND p.incident_id = u.incident_id
