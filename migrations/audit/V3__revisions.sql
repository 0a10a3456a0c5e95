-- Counts the changes of an incident, so that a copy of its facts elsewhere knows which of two is the later.
ALTER TABLE resource_action_traces ADD COLUMN revision bigint NOT NULL DEFAULT 0;
