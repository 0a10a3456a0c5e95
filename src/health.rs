//! What the service knows about its databases, their nodes and the Kubernetes API. Requests read this state; they never wait for a database to learn it.

use crate::actors::Actors;
use data_storage_actors::check::Obstacle;
use data_storage_actors::db::sqlstate::DatabaseFault;
use data_storage_actors::error::{ActorError, NoVerdict};
use data_storage_actors::handle::Probe;
use data_storage_actors::pg_writer::ProbeNodes;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often they are tried, and how long each may take.
const EVERY: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(3);

/// What the requests of a part meet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Not tried yet.
    #[default]
    Starting,
    Up,
    Down,
    ReadOnly,
    /// Rights, schema, trigger, encoding.
    Refused,
    Locked,
    Full,
    /// Of another store.
    Foreign,
}

impl PartState {
    fn of(error: &ActorError) -> Self {
        let error = match error {
            ActorError::Database(error) => error,
            ActorError::NoVerdict(NoVerdict::Refused(_)) => return PartState::Refused,
            _ => return PartState::Down,
        };
        match error.fault {
            DatabaseFault::ReadOnly => PartState::ReadOnly,
            DatabaseFault::Refused | DatabaseFault::Schema | DatabaseFault::Row | DatabaseFault::Other => {
                PartState::Refused
            }
            DatabaseFault::Locked => PartState::Locked,
            DatabaseFault::Full => PartState::Full,
            DatabaseFault::Foreign => PartState::Foreign,
            _ => PartState::Down,
        }
    }
}

/// The state of one part, which any thread may set.
#[derive(Debug, Default)]
pub struct Part(Mutex<(PartState, Option<String>)>);

impl Part {
    pub fn get(&self) -> PartState {
        self.read().0
    }

    /// The state, and where the part is not up the reason.
    pub fn read(&self) -> (PartState, Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, state: PartState, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (state, reason);
    }

    /// By how a probe went.
    fn probed(&self, result: Result<(), ActorError>) {
        match result {
            Ok(()) => self.set(PartState::Up, None),
            Err(error) => {
                let words = match &error {
                    ActorError::Database(error) if error.fault == DatabaseFault::Locked => {
                        "a table is locked by somebody else"
                    }
                    ActorError::Database(error) => error.fault.words(),
                    ActorError::NoVerdict(NoVerdict::Refused(why)) => why,
                    ActorError::NoVerdict(why) => why.words(),
                    _ => "the actor does not answer",
                };
                self.set(PartState::of(&error), Some(words.to_owned()));
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Health {
    pub write_database: Part,
    pub read_database: Part,
    pub vector_write_database: Part,
    pub vector_read_database: Part,
    /// The API server that reviews tokens and rights; `None` where none is asked.
    pub kubernetes_api: Option<Part>,
    /// The nodes that have the shards of a distributed database.
    pub database_nodes: Option<Part>,
    /// Whether the audit database has the schema of this program.
    pub audit_migrated: AtomicBool,
    pub vector_migrated: AtomicBool,
    /// Why a database cannot be used as it is set up, until somebody mends that.
    pub audit_obstacle: Mutex<Option<Obstacle>>,
    pub vector_obstacle: Mutex<Option<Obstacle>>,
}

impl Health {
    /// Whether the service can answer requests: the audit database has the schema, and the write or the read database
    /// answers.
    pub fn is_ready(&self) -> bool {
        let answers = |part: &Part| !matches!(part.get(), PartState::Starting | PartState::Down);
        self.audit_migrated.load(Ordering::Relaxed) && (answers(&self.write_database) || answers(&self.read_database))
    }

    /// Tries the databases again and again.
    pub async fn watch(&self, actors: &Actors) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let (write, read, vector_write, vector_read, kubernetes_api) = tokio::join!(
                actors.pg_writer.ask(Probe, PATIENCE),
                actors.query.ask(Probe, PATIENCE),
                actors.vector_writer.ask(Probe, PATIENCE),
                actors.similarity.ask(Probe, PATIENCE),
                actors.auth.handle.ask(Probe, PATIENCE),
            );
            if let Some(part) = &self.database_nodes {
                match actors.pg_writer.ask(ProbeNodes, PATIENCE).await {
                    Ok(away) if away.is_empty() => part.set(PartState::Up, None),
                    Ok(away) => {
                        let verb = if away.len() == 1 { "does" } else { "do" };
                        part.set(PartState::Down, Some(format!("{} {verb} not answer", away.join(", "))));
                    }
                    Err(error) => part.probed(Err(error)),
                }
            }
            if let Some(part) = &self.kubernetes_api {
                part.probed(kubernetes_api);
            }
            self.write_database.probed(write);
            self.read_database.probed(read);
            self.vector_write_database.probed(vector_write);
            self.vector_read_database.probed(vector_read);
            for (obstacle, part) in
                [(&self.audit_obstacle, &self.write_database), (&self.vector_obstacle, &self.vector_write_database)]
            {
                if let Some(obstacle) = &*obstacle.lock().unwrap_or_else(PoisonError::into_inner) {
                    let state = if obstacle.is_foreign { PartState::Foreign } else { PartState::Refused };
                    part.set(state, Some(obstacle.to_string()));
                }
            }
        }
    }
}
