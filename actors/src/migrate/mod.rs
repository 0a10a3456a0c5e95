//! Brings the two databases to the schema of this program. Migrations go forward only, several replicas may start at once,
//! and the traffic of the replicas that run already goes on (docs/operating.md, "Upgrades").
//!
//! `apply.rs` applies what is missing, `session.rs` holds the lock and tries again, `concurrently.rs` makes indexes beside
//! writers, `waits.rs` finds out what a migration waits for, `distributed.rs` spreads the tables over the nodes of Citus.

mod apply;
mod concurrently;
mod distributed;
mod error;
mod session;
mod waits;

pub use apply::Migrations;
pub use distributed::Placement;
pub use error::MigrateError;

use crate::db::connection::Connection;
use crate::db::store_identity::{Foreign, Side, identity, take_over};
use crate::db::{ConnectError, DatabaseConfig, connect};
use crate::pg_writer::make_partitions;
use chrono::{DateTime, Utc};
use tokio_postgres::Client;
use uuid::Uuid;

/// One of the two sets of migrations. Both may live in one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Audit,
    Vector,
}

impl Schema {
    pub fn as_str(self) -> &'static str {
        match self {
            Schema::Audit => "audit",
            Schema::Vector => "vector",
        }
    }

    /// The table that lists the migrations of a database.
    fn history(self) -> &'static str {
        match self {
            Schema::Audit => "audit_schema_history",
            Schema::Vector => "vector_schema_history",
        }
    }
}

/// Applies what is missing of a schema, and makes the partitions of the present months. A database that is up to date is
/// only read, so that a standby will do.
///
/// # Errors
/// When the database cannot be reached or changed, is newer than this program, or is distributed.
pub async fn migrate(database: &DatabaseConfig, schema: Schema, now: DateTime<Utc>) -> Result<(), MigrateError> {
    Migrations::of(schema).apply(database).await?;
    if schema == Schema::Audit {
        make_partitions(&mut Connection::alone(database).await?, now).await?;
    }
    Ok(())
}

/// Migrates a vector store and has a store take it over. Nothing is done to one that belongs to another store.
///
/// # Errors
/// As [`migrate`]; `Foreign` for one that belongs to another store.
pub async fn migrate_vector_store(
    database: &DatabaseConfig,
    own: Uuid,
    now: DateTime<Utc>,
) -> Result<(), MigrateError> {
    let foreign = |found| MigrateError::Connect(Foreign { own, found }.into());
    if let Some(found) = identity(&connect(database).await?, Side::Vector).await?.filter(|found| *found != own) {
        return Err(foreign(found));
    }
    migrate(database, Schema::Vector, now).await?;
    match take_over(database, own).await? {
        Some(found) if found != own => Err(foreign(found)),
        _ => Ok(()),
    }
}

/// The version of the last migration that a database has; 0 for an empty database.
///
/// # Errors
/// PostgreSQL's.
pub async fn version(client: &Client, schema: Schema) -> Result<i32, tokio_postgres::Error> {
    let table = schema.history();
    let exists = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    let row = client.query_one(&format!("SELECT COALESCE(max(version), 0)::int FROM {table}"), &[]).await?;
    Ok(row.get(0))
}

/// Whether a database has all migrations that this program needs.
///
/// # Errors
/// PostgreSQL's.
pub async fn is_current(client: &Client, schema: Schema) -> Result<bool, tokio_postgres::Error> {
    Ok(version(client, schema).await? >= Migrations::of(schema).latest())
}

/// Makes a database of this name where there is none; `server` is a database of the same server.
///
/// # Errors
/// PostgreSQL's.
pub async fn create_database(server: &DatabaseConfig, name: &str) -> Result<(), ConnectError> {
    let client = connect(server).await?;
    let exists = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?;
    if exists.is_none() {
        let quoted = name.replace('"', "\"\"");
        client.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await?;
    }
    Ok(())
}
