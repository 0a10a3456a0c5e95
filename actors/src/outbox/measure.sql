-- outbox.measure
SELECT count(*), min(received_at) FILTER (WHERE attempts < $1), count(*) FILTER (WHERE attempts >= $1) FROM embedding_outbox
