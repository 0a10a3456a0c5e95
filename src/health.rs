//! What the service knows about its databases. Requests read this state; they never wait for a database to learn it.

use crate::actors::Actors;
use data_storage_actors::handle::Probe;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// How often the databases are tried, and how long each may take.
const EVERY: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// Not tried yet.
    Starting,
    Up,
    Down,
}

/// The state of one part, which any thread may set.
#[derive(Debug, Default)]
pub struct Part(AtomicU8);

impl Part {
    pub fn get(&self) -> PartState {
        match self.0.load(Ordering::Relaxed) {
            0 => PartState::Starting,
            1 => PartState::Up,
            _ => PartState::Down,
        }
    }

    pub fn set(&self, up: bool) {
        self.0.store(if up { 1 } else { 2 }, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub struct Health {
    pub write_database: Part,
    pub read_database: Part,
    pub vector_write_database: Part,
    pub vector_read_database: Part,
    /// Whether the audit database has the schema of this program.
    pub audit_migrated: AtomicBool,
    pub vector_migrated: AtomicBool,
}

impl Health {
    /// Whether the service can answer requests: the audit database has the schema, and the write or the read database
    /// answers.
    pub fn is_ready(&self) -> bool {
        let up = |part: &Part| part.get() == PartState::Up;
        self.audit_migrated.load(Ordering::Relaxed) && (up(&self.write_database) || up(&self.read_database))
    }

    /// Tries the databases again and again.
    pub async fn watch(&self, actors: &Actors) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let (write, read, vector_write, vector_read) = tokio::join!(
                actors.pg_writer.ask(Probe, PATIENCE),
                actors.query.ask(Probe, PATIENCE),
                actors.vector_writer.ask(Probe, PATIENCE),
                actors.similarity.ask(Probe, PATIENCE),
            );
            self.write_database.set(write.is_ok());
            self.read_database.set(read.is_ok());
            self.vector_write_database.set(vector_write.is_ok());
            self.vector_read_database.set(vector_read.is_ok());
        }
    }
}
