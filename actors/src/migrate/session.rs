//! The connection that migrates: it holds the lock of migrations, and takes locks on tables in short tries.

use super::waits::{Waits, holders};
use super::{MigrateError, Schema};
use crate::db::locks::Lock;
use crate::db::{DatabaseConfig, connect};
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};

/// How often a process that waits for its turn to migrate asks again.
const TURN: Duration = Duration::from_millis(50);

/// How long a try waits for its locks. All traffic on the table queues behind it meanwhile. The first tries are shorter than the
/// `lock_timeout` of the service's own statements (500 ms), so that no request fails of them. Steady slow reads may leave no
/// moment that short: later tries wait longer.
const SHORT_TRY: Duration = Duration::from_millis(250);
const LONG_TRY: Duration = Duration::from_secs(2);
const SHORT_TRIES: u32 = 10;

/// The pause between two tries, in which traffic goes on: it grows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// When a try looks what it waits for.
const LOOK: Duration = Duration::from_millis(100);
/// How often a statement that nobody waits for looks what it waits for itself.
const LEISURELY_LOOK: Duration = Duration::from_secs(2);

pub(super) struct Session<'a> {
    pub client: Client,
    schema: Schema,
    waits: Waits<'a>,
}

impl<'a> Session<'a> {
    /// Connects and waits until no other process migrates. `None` where that process has done what was to do: `is_done` tells. The lock
    /// goes with the connection, that is, when the session is dropped.
    pub async fn begin(
        database: &'a DatabaseConfig,
        schema: Schema,
        is_done: impl AsyncFn(&Client) -> Result<bool, MigrateError>,
    ) -> Result<Option<Self>, MigrateError> {
        let client = connect(database).await?;
        // There is no limit on the time of a migration. But PostgreSQL ends it soon after this process has gone, on platforms where
        // PostgreSQL can notice that. That a table exists already is no news.
        // A partitioned table can be in no tablespace that is named as the default.
        let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
                        SET client_min_messages = warning; SET default_tablespace = ''";
        client.batch_execute(settings).await?;
        client.batch_execute("SET client_connection_check_interval = 2000").await.ok();
        let mut told = false;
        while !try_lock(&client).await? {
            if !told {
                told = true;
                let blocked_by = holders(&client, Lock::Migration.number()).await?;
                tracing::info!(schema = schema.as_str(), blocked_by, "another process migrates: this one waits for it");
            }
            sleep(TURN).await;
            if is_done(&client).await? {
                return Ok(None);
            }
        }
        let waits = Waits::of(&client, database).await?;
        Ok(Some(Session { client, schema, waits }))
    }

    /// Ends the session. The lock is free when this returns.
    pub async fn end(self) -> Result<(), Error> {
        self.client.execute("SELECT pg_advisory_unlock($1)", &[&Lock::Migration.number()]).await.map(|_| ())
    }

    /// Does work that takes locks which others have to wait behind, again and again until it gets them.
    pub async fn in_short_tries(
        &mut self,
        migration: &str,
        mut work: impl AsyncFnMut(&mut Client) -> Result<(), MigrateError>,
    ) -> Result<(), MigrateError> {
        let (mut tries, mut pause) = (0, FIRST_PAUSE);
        loop {
            let limit = if tries < SHORT_TRIES { SHORT_TRY } else { LONG_TRY };
            self.client.batch_execute(&format!("SET lock_timeout = {}", limit.as_millis())).await?;
            let mut blocked_by = None;
            let result = self.waits.during(LOOK, work(&mut self.client), |seen| blocked_by = Some(seen)).await;
            match result {
                Err(error) if error.is_wait() => {
                    tries += 1;
                    log_wait(self.schema, migration, blocked_by.as_deref(), Some(tries));
                }
                result => return result,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs a statement that nobody has to wait behind, however long it waits itself, outside a transaction.
    pub async fn at_leisure(&mut self, migration: &str, sql: &str) -> Result<(), MigrateError> {
        self.client.batch_execute("SET lock_timeout = 0").await?;
        let (schema, mut last) = (self.schema, None);
        let log = |seen: String| {
            // The seconds in it grow: who it is counts.
            let who = seen.split(" (").next().map(str::to_owned);
            if who != last {
                log_wait(schema, migration, Some(&seen), None);
                last = who;
            }
        };
        self.waits.during(LEISURELY_LOOK, self.client.batch_execute(sql), log).await?;
        Ok(())
    }
}

fn log_wait(schema: Schema, migration: &str, blocked_by: Option<&str>, tries: Option<u32>) {
    let schema = schema.as_str();
    match tries {
        Some(tries) => {
            tracing::warn!(schema, migration, tries, blocked_by, "a migration did not get its lock: it is tried again")
        }
        None => tracing::warn!(schema, migration, blocked_by, "a migration waits; traffic goes on"),
    }
}

/// Asks for the lock without waiting in the server: a statement that waits there holds a snapshot, and `CREATE INDEX CONCURRENTLY` of
/// the process that holds the lock would wait for that snapshot.
async fn try_lock(client: &Client) -> Result<bool, Error> {
    let row =
        client.query_one("-- migrate.lock\nSELECT pg_try_advisory_lock($1)", &[&Lock::Migration.number()]).await?;
    Ok(row.get(0))
}
