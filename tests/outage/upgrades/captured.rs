//! What the migrations of this process log, and a way to let a test's own migration run.

use crate::support::{Database, citus, eventually};
use data_storage_actors::db::{DatabaseConfig, Distribution};
use data_storage_actors::migrate::{Migrations, Schema};
use serde_json::Value;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The log of this thread, as long as it is held.
pub struct Captured {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Text {
    type Writer = Text;

    fn make_writer(&self) -> Text {
        self.clone()
    }
}

impl Captured {
    pub fn start() -> Self {
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(text.clone()).finish();
        Captured { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines with this message.
    pub fn lines(&self, message: &str) -> Vec<Value> {
        let bytes = self.text.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(bytes).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.filter(|line| line["message"] == message).collect()
    }

    /// The last of at least so many lines with this message, once they are there.
    pub async fn eventually(&self, message: &str, least: usize) -> Value {
        eventually(message, async || {
            let lines = self.lines(message);
            lines.get(least - 1)?;
            lines.last().cloned()
        })
        .await
    }
}

/// What a migration says that did not get its lock, and one that runs beside others.
pub const TRIED_AGAIN: &str = "a migration did not get its lock: it is tried again";
pub const WAITS: &str = "a migration waits; traffic goes on";

pub fn config(database: &Database) -> DatabaseConfig {
    let distribution = citus::is_at(&database.url).then_some(Distribution { shards: citus::SHARDS, direct: false });
    whole(database).distributed(distribution)
}

/// For an older program, which knows only tables that are not distributed.
pub fn whole(database: &Database) -> DatabaseConfig {
    DatabaseConfig::parse(&database.url).expect("a database")
}

/// The audit schema of this program and one more migration, as a later program would ship it.
pub fn later(name: &str, sql: &str) -> Migrations {
    Migrations::of(Schema::Audit).with(name, sql).expect("a name of a migration")
}

/// Whether nobody holds the lock of migrations. The lock is given back at once.
pub async fn is_unlocked(database: &Database) -> bool {
    let sql = "SELECT pg_try_advisory_lock(7261000) AND pg_advisory_unlock(7261000)";
    database.rows(sql, &[]).await[0].get(0)
}
