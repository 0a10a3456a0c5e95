-- Success rates are counted in memory (actors/src/attempts/), by all attempts. Which incidents have changed is told by the notes of the counts:
-- each change bears the id of its incident, and a delta of 0 notes a change of what is not counted. Notes without ids come from an older
-- program, or of many incidents at once: then all incidents of their minutes may have changed.

-- The incidents of the notes that each fold has taken, of the last folds. The id is 0 where all incidents of the minute may have changed.
CREATE TABLE folded_incidents (
    bucket     int      NOT NULL,
    generation bigint   NOT NULL,
    minutes    int[]    STORAGE EXTERNAL NOT NULL,
    ids        bigint[] STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (bucket, generation)
);

-- Notes what older programs change without a note, and attempts that are over. `same` is their word for a change of what is not counted, or a note
-- of what was counted is not there at all; who fills in a workload leaves both words and revision. Distributed tables have no triggers, and nobody
-- counts their attempts in memory.
CREATE FUNCTION note_incident() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    incident bigint;
BEGIN
    IF TG_TABLE_NAME = 'earlier_attempts' THEN
        incident := NEW.incident_id;
    ELSE
        incident := NEW.id;
    END IF;
    INSERT INTO count_changes (bucket, number, minutes, deltas, ids,
        alert_name, alert_severity, action_type, namespace, cluster_name, execution_status, environment)
    VALUES (NEW.bucket, nextval('count_change_number'), ARRAY[floor(date_part('epoch', NEW.action_timestamp) / 60)::int], ARRAY[0],
        ARRAY[incident], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[NULL::text],
        ARRAY[NULL::text]);
    RETURN NULL;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        CREATE TRIGGER incident_noted AFTER UPDATE ON resource_action_traces
            FOR EACH ROW WHEN (NEW.counted_before IS NULL OR cardinality(NEW.counted_before) NOT IN (1, 2, 7) OR NEW.counted_before = ARRAY['same']
                OR (NEW.revision = OLD.revision AND NEW.workload IS DISTINCT FROM OLD.workload))
            EXECUTE FUNCTION note_incident();
        CREATE TRIGGER attempt_noted AFTER INSERT OR UPDATE ON earlier_attempts
            FOR EACH ROW EXECUTE FUNCTION note_incident();
    END IF;
END
$$;

-- Writers lock the incidents first.
ALTER TABLE count_changes ADD COLUMN IF NOT EXISTS ids bigint[];
