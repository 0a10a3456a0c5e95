//! A database whose tables are distributed is refused by every command that would use it, unless it is configured so.
//!
//! Citus is in no package of Debian. In its place stands its catalogue alone: the tables that Citus has under these names in `pg_catalog`,
//! with the columns that the service reads.

use super::captured::config;
use crate::support::{Database, Service, citus, data_storage, ended, server};
use data_storage_actors::migrate::{Migrations, Schema};

const CATALOGUE: &str = "SET allow_system_table_mods = on;
    CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass PRIMARY KEY, partmethod \"char\" NOT NULL);
    CREATE TABLE pg_catalog.pg_dist_shard (logicalrelid regclass, shardid bigint);
    CREATE TABLE pg_catalog.pg_dist_placement (shardid bigint, groupid int);
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (999999, 'citus', 10, 11, false, '14.0-1')";

async fn with_catalogue() -> Database {
    let database = server().database().await;
    for schema in [Schema::Audit, Schema::Vector] {
        Migrations::of(schema).apply(&config(&database)).await.expect("migrated");
    }
    database.client.batch_execute(CATALOGUE).await.expect("a catalogue");
    database
}

/// Runs a command to its end: whether it succeeded, and what it printed.
async fn run(database: &Database, arguments: &[&str]) -> (bool, String) {
    ended(&mut data_storage(&database.url, arguments)).await
}

fn sentence(table: &str) -> String {
    format!(
        "the table {table} is distributed by Citus: set DISTRIBUTE=true, or use a database whose tables are not distributed"
    )
}

#[tokio::test]
async fn every_command_refuses_it_in_one_sentence() {
    if citus::leave_out("a forged catalogue: every command refuses it") {
        return;
    }
    for table in ["resource_action_traces", "incident_facts"] {
        let database = with_catalogue().await;
        let distribute = format!("INSERT INTO pg_dist_partition VALUES ('{table}', 'h')");
        database.client.batch_execute(&distribute).await.expect("distributed");
        let tokens = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(tokens.path(), "a-token,system:serviceaccount:a:b,1,\"\"\n").expect("written");
        let tokens = tokens.path().to_string_lossy().into_owned();
        let mut commands = vec![vec!["migrate"], vec!["check", "--auth-mode", "static", "--auth-tokens-file", &tokens]];
        if table == "resource_action_traces" {
            commands.push(vec!["check", "--totals"]);
        }
        for command in commands {
            let (success, text) = run(&database, &command).await;
            assert!(!success && text.contains(&sentence(table)), "{command:?}: {text}");
        }
        let mut service = Service::on(&database.url, &[]).await;
        assert!(!service.exited().await.success());
        let line = |line: &serde_json::Value| line.as_str().is_some_and(|text| text.ends_with(&sentence(table)));
        assert!(service.log().iter().any(line), "{:?}", service.log());
    }
}

/// The extension may be there, and tables of others may be distributed.
#[tokio::test]
async fn tables_of_others_do_not_matter() {
    if citus::leave_out("a forged catalogue: tables of others") {
        return;
    }
    let database = with_catalogue().await;
    let others = "CREATE SCHEMA other; CREATE TABLE other.remediation_audit (a int); CREATE TABLE orders (a int);
        INSERT INTO pg_dist_partition VALUES ('orders', 'h'), ('other.remediation_audit', 'h')";
    database.client.batch_execute(others).await.expect("distributed");
    let (success, text) = run(&database, &["migrate"]).await;
    assert!(success, "{text}");
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
}

/// Where the tables are to be distributed, a database that cannot do so is refused too.
#[tokio::test]
async fn what_cannot_distribute_is_refused() {
    if citus::leave_out("a forged catalogue: what cannot distribute") {
        return;
    }
    let plain = server().database().await;
    let old = with_catalogue().await;
    let version =
        "SET allow_system_table_mods = on; UPDATE pg_extension SET extversion = '12.1-1' WHERE extname = 'citus'";
    old.client.batch_execute(version).await.expect("an old one");
    for (database, sentence) in [
        (&plain, "the database has no extension citus: CREATE EXTENSION citus there"),
        (&old, "Citus 12, which is older than 13"),
    ] {
        for command in ["migrate", "check"] {
            let (success, text) = run(database, &[command, "--distribute", "true"]).await;
            assert!(!success && text.contains(sentence), "{command}: {text}");
        }
        let mut service = Service::on(&database.url, &[("DISTRIBUTE", "true")]).await;
        assert!(!service.exited().await.success());
    }
}
