//! The locks of a migration: traffic goes on while it waits for a table, and its turn comes and goes.

use super::captured::{Captured, TRIED_AGAIN, config, is_unlocked, later};
use crate::support::{Service, Writer, eventually, gateway_audit, server};
use data_storage_actors::migrate::MigrateError;
use std::cell::Cell;
use tokio::select;

const NOTE: &str = "ALTER TABLE resource_action_traces ADD COLUMN note text";

/// A long reader keeps a migration from its lock. Everybody else queues behind the migration while it waits, so it must not wait long:
/// posts and lists are answered all the while, and the operator reads whom it waits for.
#[tokio::test]
async fn traffic_goes_on_while_a_migration_waits_for_a_long_reader() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-secret")).await.audit_id();
    let reader = server().connect(&database.name).await;
    let pid: i32 = reader.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    reader.batch_execute("BEGIN").await.expect("begun");
    let read = "SELECT * FROM resource_action_traces WHERE correlation_id = 'rr-secret'";
    reader.query(read, &[]).await.expect("a row");

    let log = Captured::start();
    let (database_config, migrations) = (config(&database), later("V9000__note", NOTE));
    let migration = migrations.apply(&database_config);
    let acknowledged = Cell::new(0i64);
    let traffic = async {
        // Three tries, and traffic after each.
        for tries in 1..=3 {
            let line = log.eventually(TRIED_AGAIN, tries).await;
            let blocked_by = line["blocked_by"].as_str().expect("whom it waits for");
            assert!(blocked_by.contains(&format!("pid {pid} ")) && !blocked_by.contains("rr-secret"), "{line}");
            for n in 0..10 {
                let body = gateway_audit(&format!("rr-{tries}-{n}"));
                // A client asks again after a 503.
                eventually("a post", async || (service.post(Writer::Gateway, &body).await.status == 201).then_some(()))
                    .await;
                acknowledged.set(acknowledged.get() + 1);
                eventually("a list", async || (service.get("/api/v1/incidents").await.status == 200).then_some(()))
                    .await;
            }
        }
        assert!(log.lines("migration applied").is_empty(), "the reader still reads");
        reader.batch_execute("COMMIT").await.expect("ended");
    };
    let (migrated, ()) = tokio::join!(migration, traffic);
    migrated.expect("applied");
    assert_eq!(log.lines("migration applied").len(), 1);
    assert!(is_unlocked(&database).await);
    let noted = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'resource_action_traces' AND column_name = 'note'";
    assert_eq!(database.number(noted).await, 1);
    // The service that was there before goes on.
    service.post(Writer::Gateway, &gateway_audit("rr-after")).await.audit_id();
    let total = service.read("/api/v1/incidents?limit=1").await["pagination"]["total"].clone();
    assert_eq!(total, acknowledged.get() + 2);
}

/// A replica that waits for its turn says so once, and names the process that it waits for.
#[tokio::test]
async fn a_replica_says_whom_it_waits_for() {
    let database = server().database().await;
    let other = server().connect(&database.name).await;
    other.batch_execute("SELECT pg_advisory_lock(7261000)").await.expect("a lock");
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    let service = Service::on(&database.url, &[]).await;
    let message = "another process migrates: this one waits for it";
    eventually("it waits", async || {
        let log = service.log();
        let waits: Vec<_> = log.iter().filter(|line| line["message"] == message).collect();
        for line in &waits {
            let blocked_by = line["blocked_by"].as_str().expect("whom it waits for");
            assert!(blocked_by.contains(&format!("pid {pid} ")), "{line}");
        }
        (waits.len() == 1).then_some(())
    })
    .await;
    // It asks again and again without holding a snapshot that an index in the making would wait for.
    let asking =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eq!(database.number(asking).await, 0);
    other.batch_execute("SELECT pg_advisory_unlock(7261000)").await.expect("unlocked");
    service.logged("ready").await;
    eventually("the vector store too", async || {
        let health = service.read("/health").await;
        (health["parts"]["vector_write_database"]["migrated"] == true).then_some(())
    })
    .await;
    let told = service.log().iter().filter(|line| line["message"] == message).count();
    assert_eq!(told, 1, "{:?}", service.log());
}

/// Whatever ends a migration, the next process may migrate at once.
#[tokio::test]
async fn the_turn_ends_with_an_error_and_with_the_process() {
    let (_service, database) = Service::start().await;
    let broken = later("V9000__broken", "CREATE TABLE half (a int); SELECT 'secret'::int");
    let error = broken.apply(&config(&database)).await.expect_err("not a number");
    assert!(matches!(error, MigrateError::Migration(_)), "{error:?}");
    assert!(error.to_string().contains("V9000__broken") && error.to_string().contains("22P02"), "{error}");
    eventually("unlocked after an error", async || is_unlocked(&database).await.then_some(())).await;
    let half = "SELECT count(*) FROM pg_class WHERE relname = 'half'";
    assert_eq!(database.number(half).await, 0, "half of a migration is none");

    let reader = server().connect(&database.name).await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM resource_action_traces").await.expect("a reader");
    let log = Captured::start();
    let (database_config, migrations) = (config(&database), later("V9000__note", NOTE));
    select! {
        _ = migrations.apply(&database_config) => panic!("the reader still reads"),
        _ = log.eventually(TRIED_AGAIN, 1) => {}
    }
    eventually("unlocked after the process", async || is_unlocked(&database).await.then_some(())).await;
    reader.batch_execute("COMMIT").await.expect("ended");
    migrations.apply(&database_config).await.expect("applied");
}
