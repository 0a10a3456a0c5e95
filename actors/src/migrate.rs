//! Brings the two databases to the schema of this program. Forward only; several replicas may start at once.

use crate::db::connection::Connection;
use crate::db::locks::Lock;
use crate::db::sqlstate::{DatabaseError, describe};
use crate::db::{ConnectError, DatabaseConfig};
use crate::pg_writer::make_partitions;
use chrono::{DateTime, Utc};
use tokio_postgres::Client;

mod audit {
    refinery::embed_migrations!("../migrations/audit");
}
mod vector {
    refinery::embed_migrations!("../migrations/vector");
}

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

    fn runner(self) -> refinery::Runner {
        let mut runner = match self {
            Schema::Audit => audit::migrations::runner(),
            Schema::Vector => vector::migrations::runner(),
        };
        runner.set_migration_table_name(match self {
            Schema::Audit => "audit_schema_history",
            Schema::Vector => "vector_schema_history",
        });
        runner
    }

    /// The migration that this program ends with.
    fn latest(self) -> i64 {
        self.runner().get_migrations().iter().map(|m| i64::from(m.version())).max().unwrap_or(0)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Partitions(#[from] DatabaseError),
    #[error("{}", describe_refinery(.0))]
    Migration(#[from] Box<refinery::Error>),
    #[error("the database has migration {found} of the {schema} schema, this program knows up to {known}")]
    FromTheFuture { schema: &'static str, found: i64, known: i64 },
}

fn describe_refinery(error: &refinery::Error) -> String {
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<tokio_postgres::Error>()) {
        Some(source) => format!("{error}: {}", describe(source)),
        None => error.to_string(),
    }
}

/// One process at a time migrates; the lock is held by the connection.
const LOCK: &str = "SELECT pg_advisory_lock($1)";
const UNLOCK: &str = "SELECT pg_advisory_unlock($1)";

/// A connection of its own for work that needs no pool.
///
/// # Errors
/// When the database cannot be reached.
pub async fn connect(database: &DatabaseConfig) -> Result<Client, ConnectError> {
    let (client, driver) = database.connect().await?;
    // Ends with the client; its error is the client's next one.
    tokio::spawn(async move { driver.await.ok() });
    Ok(client)
}

/// Applies what is missing of a schema, and makes the partitions of the present months. A database that is up to date is
/// only read, so that a standby will do.
///
/// # Errors
/// When the database cannot be reached or changed, or is newer than this program.
pub async fn migrate(database: &DatabaseConfig, schema: Schema, now: DateTime<Utc>) -> Result<(), MigrateError> {
    let mut client = connect(database).await?;
    let (found, known) = (version(&client, schema).await?, schema.latest());
    if found > known {
        return Err(MigrateError::FromTheFuture { schema: schema.as_str(), found, known });
    }
    if found < known {
        client.execute(LOCK, &[&Lock::Migration.number()]).await?;
        let report = schema.runner().run_async(&mut client).await.map_err(Box::new)?;
        client.execute(UNLOCK, &[&Lock::Migration.number()]).await?;
        for migration in report.applied_migrations() {
            tracing::info!(schema = schema.as_str(), migration = %migration, "migration applied");
        }
    }
    if schema == Schema::Audit {
        make_partitions(&mut Connection::alone(database).await?, now).await?;
    }
    Ok(())
}

/// The last migration that a database has; 0 for an empty one.
///
/// # Errors
/// PostgreSQL's.
pub async fn version(client: &Client, schema: Schema) -> Result<i64, tokio_postgres::Error> {
    let table = match schema {
        Schema::Audit => "audit_schema_history",
        Schema::Vector => "vector_schema_history",
    };
    let exists = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    let row = client.query_one(&format!("SELECT COALESCE(max(version), 0)::bigint FROM {table}"), &[]).await?;
    Ok(row.get(0))
}

/// Whether a database has all migrations that this program needs.
///
/// # Errors
/// PostgreSQL's.
pub async fn is_current(client: &Client, schema: Schema) -> Result<bool, tokio_postgres::Error> {
    Ok(version(client, schema).await? >= schema.latest())
}

/// Makes a database of this name where there is none; `server` is a database of the same server.
///
/// # Errors
/// PostgreSQL's.
pub async fn create_database(server: &DatabaseConfig, name: &str) -> Result<(), ConnectError> {
    let client = connect(server).await?;
    let exists = client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?;
    if exists.is_none() {
        let quoted = name.replace('"', "\"\"");
        client.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await?;
    }
    Ok(())
}
