-- pg_writer.measure_outbox
SELECT count(*), min(received_at) FROM embedding_outbox
