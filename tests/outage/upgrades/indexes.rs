//! Indexes on tables that are in use: made beside writers, on each partition, and to the end after an interruption.

use super::captured::{Captured, TRIED_AGAIN, WAITS, config, is_unlocked, later};
use crate::support::{Database, Service, Writer, eventually, gateway_audit, server};
use chrono::{Months, Utc};
use data_storage_actors::migrate::MigrateError;
use serde_json::json;

const INDEXES: &str = "-- concurrently
-- One on a partitioned table, and one on an ordinary table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_test_place
    ON resource_action_traces (cluster_name, namespace) WHERE environment IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_test_writer ON remediation_audit (writer);
";
const DROPPED: &str = "-- concurrently
DROP INDEX CONCURRENTLY IF EXISTS idx_test_place;
DROP INDEX CONCURRENTLY IF EXISTS idx_test_writer;
";

/// A transaction that writes for long neither keeps others from writing nor the migration from its end.
#[tokio::test]
async fn they_are_made_beside_writers() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-held")).await.audit_id();
    let month = Utc::now().format("y%Ym%m").to_string();
    interrupt(&database, &month).await;

    let writer = server().connect(&database.name).await;
    let pid: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    let hold = format!("BEGIN; UPDATE resource_action_traces_{month} SET updated_at = updated_at");
    writer.batch_execute(&hold).await.expect("a writer");
    let log = Captured::start();
    let (database_config, migrations) = (config(&database), later("V9000__places", INDEXES));
    let traffic = async {
        let line = log.eventually(WAITS, 1).await;
        assert!(line["blocked_by"].as_str().expect("whom").contains(&format!("pid {pid} ")), "{line}");
        for n in 0..20 {
            // Nobody waits behind the migration.
            service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
        }
        assert_eq!(valid(&database, "idx_test_place").await, 0);
        writer.batch_execute("COMMIT").await.expect("ended");
    };
    let (migrated, ()) = tokio::join!(migrations.apply(&database_config), traffic);
    migrated.expect("applied");
    assert!(is_unlocked(&database).await);
    assert_made(&database).await;

    // A month that comes later has it from the first.
    let created = Utc::now().checked_sub_months(Months::new(5)).expect("a time").to_rfc3339();
    let mut body = gateway_audit("rr-earlier");
    body["createdAt"] = json!(created);
    service.post(Writer::Gateway, &body).await.audit_id();
    assert_made(&database).await;

    // An interruption before the note that it was applied: everything is done again.
    let forget = "DELETE FROM audit_schema_history WHERE version = 9000";
    database.client.batch_execute(forget).await.expect("forgotten");
    migrations.apply(&database_config).await.expect("repeated");
    assert_made(&database).await;
    let dropped = migrations.with("V9001__no_places", DROPPED).expect("a name");
    dropped.apply(&database_config).await.expect("dropped");
    assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'idx_test_%'").await, 0);
}

/// A writer that goes through the partitioned table holds a lock on the parent: the parent's own index, which is made in a moment, waits
/// for it in short tries.
#[tokio::test]
async fn the_parents_index_waits_in_short_tries() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-held")).await.audit_id();
    let writer = server().connect(&database.name).await;
    let hold = "BEGIN; UPDATE resource_action_traces SET updated_at = updated_at WHERE correlation_id = 'rr-held'";
    writer.batch_execute(hold).await.expect("a writer");
    let log = Captured::start();
    let (database_config, migrations) = (config(&database), later("V9000__places", INDEXES));
    let traffic = async {
        for tries in 1..=2 {
            log.eventually(TRIED_AGAIN, tries).await;
            let body = gateway_audit(&format!("rr-{tries}"));
            // A client asks again after a 503.
            eventually("a post", async || (service.post(Writer::Gateway, &body).await.status == 201).then_some(()))
                .await;
        }
        writer.batch_execute("COMMIT").await.expect("ended");
    };
    let (migrated, ()) = tokio::join!(migrations.apply(&database_config), traffic);
    migrated.expect("applied");
    assert_made(&database).await;
}

#[tokio::test]
async fn what_cannot_run_concurrently_is_refused_before_anything_runs() {
    let (_service, database) = Service::start().await;
    let sql = format!("{INDEXES}ALTER TABLE remediation_audit ADD COLUMN note text;");
    let error = later("V9000__mixed", &sql).apply(&config(&database)).await.expect_err("mixed");
    assert!(matches!(error, MigrateError::Text { .. }), "{error:?}");
    assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'idx_test_%'").await, 0);
}

/// Leaves half an index on this month's partition, as a program does that is killed while PostgreSQL makes it.
async fn interrupt(database: &Database, month: &str) {
    let writer = server().connect(&database.name).await;
    let hold = format!("BEGIN; UPDATE resource_action_traces_{month} SET updated_at = updated_at");
    writer.batch_execute(&hold).await.expect("a writer");
    let making = server().connect(&database.name).await;
    let make =
        format!("CREATE INDEX CONCURRENTLY idx_test_place_{month} ON resource_action_traces_{month} (namespace)");
    let cancel = making.cancel_token();
    let cancelled = async {
        eventually("half an index", async || (halves(database).await == 1).then_some(())).await;
        cancel.cancel_query(tokio_postgres::NoTls).await.expect("cancelled");
    };
    let (made, ()) = tokio::join!(making.batch_execute(&make), cancelled);
    assert!(made.is_err());
    writer.batch_execute("COMMIT").await.expect("ended");
    assert_eq!(halves(database).await, 1);
}

async fn halves(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await
}

/// Whether an index of this name can be used.
async fn valid(database: &Database, name: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('{name}') AND indisvalid");
    database.number(&sql).await
}

/// The index is valid, and each partition has its part of it, which is the one that the migration names.
async fn assert_made(database: &Database) {
    assert_eq!(valid(database, "idx_test_place").await, 1);
    assert_eq!(valid(database, "idx_test_writer").await, 1);
    assert_eq!(halves(database).await, 0);
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'resource_action_traces'::regclass";
    let parts = "SELECT count(*) FROM pg_inherits AS p JOIN pg_index AS i ON i.indexrelid = p.inhrelid
        WHERE p.inhparent = 'idx_test_place'::regclass AND i.indisvalid
          AND pg_get_indexdef(i.indexrelid) LIKE '%(cluster_name, namespace) WHERE (environment IS NULL)'";
    let (partitions, parts) = (database.number(partitions).await, database.number(parts).await);
    assert!(partitions >= 4 && parts == partitions, "{parts} of {partitions}");
}
