//! Brings the databases to the schema of this program while the service runs, and makes sure that they belong together.

use crate::config::DatabaseConfigs;
use crate::health::{Health, PartState};
use crate::systemd;
use backon::{BackoffBuilder, ExponentialBuilder};
use data_storage_actors::check::{Obstacle, check_database, obstacle};
use data_storage_actors::db::store_identity::StoreIdentity;
use data_storage_actors::db::{ConnectError, DatabaseConfig, connect};
use data_storage_actors::domain::time::Clock;
use data_storage_actors::migrate::{MigrateError, Schema, is_current, migrate, migrate_vector_store};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Waits until one of the migrations finds a database that this service must not use, and says why. A migration that succeeds, or
/// whose task is gone, never does.
pub async fn refused(
    audit: JoinHandle<Result<(), MigrateError>>,
    vector: JoinHandle<Result<(), MigrateError>>,
) -> String {
    let refusal = async |part: &str, task: JoinHandle<Result<(), MigrateError>>| match task.await {
        Ok(Err(error)) => format!("the {part} database: {error}"),
        _ => std::future::pending().await,
    };
    tokio::select! {
        why = refusal("audit", audit) => why,
        why = refusal("vector", vector) => why,
    }
}

/// Between tries to migrate, which have no end: 200 ms, doubling up to 2.5 s. Each is up to twice as long, so that replicas that
/// failed together do not try again together.
const MIGRATION_PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(LONGEST_PAUSE)
    .with_jitter()
    .without_max_times();
/// How often the vector store looks whether the audit database is there.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(2500);

/// Migrates the audit database as soon as it answers. Where only the read database answers, and is up to date, reads begin without
/// the audit database.
///
/// # Errors
/// When this service must not use the database.
pub async fn migrate_audit(
    databases: DatabaseConfigs,
    health: Arc<Health>,
    clock: Clock,
    connections: u32,
    identity: StoreIdentity,
    on_ready: impl FnOnce(),
) -> Result<(), MigrateError> {
    let mut on_ready = Some(on_ready);
    let mut ready = || {
        health.audit_migrated.store(true, Ordering::Relaxed);
        if let Some(on_ready) = on_ready.take() {
            tracing::info!("ready");
            systemd::ready();
            on_ready();
        }
    };
    let mut pauses = MIGRATION_PAUSES.build();
    let mut obstacles = Obstacles::new(Schema::Audit, &health.audit_obstacle);
    loop {
        match migrate(&databases.write, Schema::Audit, clock()).await {
            Ok(()) => {
                health.write_database.set(PartState::Up, None);
                obstacles.gone();
                if let Err(error) = identity.learn(&databases.write).await {
                    // The database went away again: the next try learns it.
                    tracing::warn!(%error, "the store's name is not known yet");
                    sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                    continue;
                }
                ready();
                if let Err(fault) = check_database(&databases.write, Schema::Audit, connections).await {
                    tracing::warn!(fault, "the audit database is not as it should be");
                }
                return Ok(());
            }
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => obstacles.look(&databases.write, &error).await,
        }
        if replica_is_current(&databases.read).await {
            health.read_database.set(PartState::Up, None);
            ready();
        }
        sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
    }
}

async fn replica_is_current(database: &DatabaseConfig) -> bool {
    let check = async { Ok::<_, MigrateError>(is_current(&connect(database).await?, Schema::Audit).await?) };
    matches!(timeout(Duration::from_secs(3), check).await, Ok(Ok(true)))
}

/// Migrates the vector store as soon as it answers. Nothing waits for that.
///
/// # Errors
/// When this service must not use the database.
pub async fn migrate_vector(
    database: DatabaseConfig,
    health: Arc<Health>,
    clock: Clock,
    identity: StoreIdentity,
) -> Result<(), MigrateError> {
    // The audit database comes first: its store takes the vector store over.
    while identity.get().is_none() && !health.audit_migrated.load(Ordering::Relaxed) {
        sleep(LOOK).await;
    }
    let mut pauses = MIGRATION_PAUSES.build();
    let mut obstacles = Obstacles::new(Schema::Vector, &health.vector_obstacle);
    loop {
        match migrate_own(&database, &clock, &identity, &health).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => obstacles.look(&database, &error).await,
        }
        sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
    }
    obstacles.gone();
    health.vector_migrated.store(true, Ordering::Relaxed);
    Ok(())
}

/// Migrates the vector store and takes it over, unless it belongs to another store. `false`: not yet. While only a replica of the audit
/// database answers, a vector store that is up to date will do as it is.
async fn migrate_own(
    database: &DatabaseConfig,
    clock: &Clock,
    identity: &StoreIdentity,
    health: &Health,
) -> Result<bool, MigrateError> {
    let Some(own) = identity.get() else {
        let client = connect(database).await?;
        return Ok(health.audit_migrated.load(Ordering::Relaxed) && is_current(&client, Schema::Vector).await?);
    };
    migrate_vector_store(database, own, clock()).await?;
    Ok(true)
}

/// Tells why a database cannot be migrated: what passes as a warning, and what somebody has to mend as an error, once a minute and in
/// `/health`.
struct Obstacles<'a> {
    schema: Schema,
    known: &'a Mutex<Option<Obstacle>>,
    told: Option<Instant>,
}

impl<'a> Obstacles<'a> {
    fn new(schema: Schema, known: &'a Mutex<Option<Obstacle>>) -> Self {
        Obstacles { schema, known, told: None }
    }

    async fn look(&mut self, database: &DatabaseConfig, error: &MigrateError) {
        let schema = self.schema.as_str();
        let found = match error {
            MigrateError::Connect(ConnectError::Foreign(foreign)) => Some(Obstacle::foreign(*foreign)),
            _ => obstacle(database, self.schema).await,
        };
        match &found {
            None => tracing::warn!(schema, %error, "the database cannot be migrated yet"),
            Some(obstacle) if self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) => {
                self.told = Some(Instant::now());
                tracing::error!(schema, %obstacle, "the database cannot be used as it is set up");
            }
            Some(_) => {}
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn gone(&mut self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How often an obstacle is told.
const TELL_AGAIN: Duration = Duration::from_secs(60);
