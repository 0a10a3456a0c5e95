-- Counts of incidents by what they are counted by and by the minute of their time, from which totals, facets and counts over time come
-- (docs/architecture.md, "Counts"). An older program may run beside this one: a trigger counts what it does.

-- Every combination of counted facts that an incident has or had. `key` is a digest of the facts, and the bucket is the digest's.
CREATE TABLE count_combinations (
    bucket           int   NOT NULL,
    key              bytea NOT NULL,
    id               int   NOT NULL,
    alert_name       text  COLLATE "C",
    alert_severity   text  COLLATE "C",
    action_type      text  COLLATE "C",
    namespace        text  COLLATE "C",
    cluster_name     text  COLLATE "C",
    execution_status text  COLLATE "C",
    environment      text  COLLATE "C",
    PRIMARY KEY (bucket, key)
);
CREATE INDEX idx_count_combinations_id ON count_combinations (id);

-- The counts of one hour, packed (actors/src/totals/block.rs). `hour` counts from 1970, and the bucket is hour mod 1024. `generation` is that
-- of the fold which wrote it.
CREATE TABLE count_blocks (
    bucket     int    NOT NULL,
    hour       int    NOT NULL,
    generation bigint NOT NULL,
    entries    bytea  STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (bucket, hour)
);
CREATE INDEX idx_count_blocks_generation ON count_blocks (generation);

-- What changed since the last fold: a row of lists for each transaction that changed incidents, written by itself. Of an incident that is
-- counted otherwise than before, a delta of -1 and one of 1.
CREATE SEQUENCE count_change_number AS bigint;
CREATE TABLE count_changes (
    bucket           int    NOT NULL,
    number           bigint NOT NULL,
    xid              xid8   NOT NULL DEFAULT pg_current_xact_id(),
    minutes          int[]  STORAGE EXTERNAL NOT NULL,
    deltas           int[]  STORAGE EXTERNAL NOT NULL,
    alert_name       text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    alert_severity   text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    action_type      text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    namespace        text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    cluster_name     text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    execution_status text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    environment      text[] STORAGE EXTERNAL COLLATE "C" NOT NULL,
    PRIMARY KEY (bucket, number)
) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off); -- the writer vacuums it after folding
CREATE INDEX idx_count_changes_xid ON count_changes (xid);

-- One row. `floor`: changes of transactions below it are folded. `is_whole`: the incidents from before these tables are counted too.
CREATE TABLE count_state (
    bucket     int     NOT NULL,
    generation bigint  NOT NULL,
    floor      xid8    NOT NULL,
    is_whole   boolean NOT NULL,
    PRIMARY KEY (bucket)
);

-- Counts what is done by others than this program, whose statements leave a note in `counted_before` (pg_writer/upsert_incidents.sql), and
-- say so where they delete. Distributed tables have no triggers, and no older program beside them.
CREATE FUNCTION count_by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        IF TG_OP = 'UPDATE' AND
            (OLD.alert_name, OLD.alert_severity, OLD.action_type, OLD.namespace, OLD.cluster_name, OLD.execution_status, OLD.environment)
            IS NOT DISTINCT FROM
            (NEW.alert_name, NEW.alert_severity, NEW.action_type, NEW.namespace, NEW.cluster_name, NEW.execution_status, NEW.environment)
        THEN
            RETURN NULL;
        END IF;
        INSERT INTO count_changes (bucket, number, minutes, deltas,
            alert_name, alert_severity, action_type, namespace, cluster_name, execution_status, environment)
        VALUES (OLD.bucket, nextval('count_change_number'), ARRAY[floor(date_part('epoch', OLD.action_timestamp) / 60)::int], ARRAY[-1],
            ARRAY[OLD.alert_name], ARRAY[OLD.alert_severity], ARRAY[OLD.action_type], ARRAY[OLD.namespace], ARRAY[OLD.cluster_name],
            ARRAY[OLD.execution_status], ARRAY[OLD.environment]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO count_changes (bucket, number, minutes, deltas,
            alert_name, alert_severity, action_type, namespace, cluster_name, execution_status, environment)
        VALUES (NEW.bucket, nextval('count_change_number'), ARRAY[floor(date_part('epoch', NEW.action_timestamp) / 60)::int], ARRAY[1],
            ARRAY[NEW.alert_name], ARRAY[NEW.alert_severity], ARRAY[NEW.action_type], ARRAY[NEW.namespace], ARRAY[NEW.cluster_name],
            ARRAY[NEW.execution_status], ARRAY[NEW.environment]);
    END IF;
    RETURN NULL;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        CREATE TRIGGER count_changed AFTER INSERT OR UPDATE ON resource_action_traces
            FOR EACH ROW WHEN (cardinality(NEW.counted_before) NOT IN (1, 2, 7) OR NEW.counted_before IS NULL)
            EXECUTE FUNCTION count_by_trigger();
        CREATE TRIGGER count_deleted AFTER DELETE ON resource_action_traces
            FOR EACH ROW WHEN (current_setting('data_storage.counts_deletes', true) IS DISTINCT FROM 'on')
            EXECUTE FUNCTION count_by_trigger();
    END IF;
END
$$;
-- By now nobody writes an incident that is not counted.
INSERT INTO count_state (bucket, generation, floor, is_whole)
VALUES (0, 0, '0', NOT EXISTS (SELECT FROM resource_action_traces));
