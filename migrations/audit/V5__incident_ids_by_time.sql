-- Which incidents are older than what is kept.
CREATE INDEX idx_incident_ids_action_timestamp ON incident_ids (bucket, action_timestamp);
