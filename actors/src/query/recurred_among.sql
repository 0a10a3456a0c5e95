-- query.recurred_among
-- Which attempts, by their places, an incident of the same alert and place follows within the window ($7, in seconds), as far as it was
-- known at a time ($8).
SELECT u.place
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
    WITH ORDINALITY AS u (alert_name, namespace, cluster_name, workload, ended_at, id, place)
JOIN resource_action_traces AS o
    ON o.alert_name = u.alert_name AND o.namespace = u.namespace AND o.cluster_name = u.cluster_name
    AND (o.workload = u.workload) IS NOT FALSE
    AND o.action_timestamp > u.ended_at AND o.action_timestamp <= u.ended_at + $7::bigint * interval '1 second'
    AND o.id <> u.id
WHERE o.created_at <= COALESCE($8, 'infinity'::timestamptz)
GROUP BY u.place
