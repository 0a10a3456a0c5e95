-- outbox.list_stale_buckets
-- Buckets with outbox rows whose claim has run out, oldest claims first.
SELECT DISTINCT s.bucket
FROM (
    SELECT bucket FROM embedding_outbox
    WHERE claimed_until <= $1 AND attempts < $2
    ORDER BY claimed_until
    LIMIT 1000
) AS s
