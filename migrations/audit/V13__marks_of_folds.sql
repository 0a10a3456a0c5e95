-- Where the tables are distributed no snapshot is that of all nodes. A fold there marks the changes that it takes with its generation, and
-- deletes them later: who asks reads those that its own generation does not have (actors/src/totals/marks.rs).
ALTER TABLE count_changes ADD COLUMN IF NOT EXISTS folded_by bigint;
-- How many changes have the mark of the next generation.
ALTER TABLE count_state ADD COLUMN IF NOT EXISTS marked bigint NOT NULL DEFAULT 0;
