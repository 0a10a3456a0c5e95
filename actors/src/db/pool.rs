//! The pool of one actor.

use super::DatabaseConfig;
use super::connection::{Connection, LOCK_TIMEOUT};
use super::pool_state::PoolState;
use super::sqlstate::{DatabaseError, DatabaseFault};
use super::transaction::Transaction;
use super::{ConnectError, PROBE};
use crate::metrics::Metrics;
use crate::waiting::Waiting;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tokio_postgres::Error;

/// What an actor needs to know to build its pool.
#[derive(Clone)]
pub struct PoolSettings {
    /// `write`, `read`, `vector_write` or `vector_read`: the label in the metrics.
    pub name: &'static str,
    pub database: DatabaseConfig,
    pub max: u32,
    pub max_lifetime: Duration,
    /// How long a checkout may take.
    pub wait: Duration,
    /// How long the server works on one statement, where there is a limit.
    pub statement_timeout: Option<Duration>,
}

/// It connects when a connection is asked for, and never blocks the start.
#[derive(Clone)]
pub struct Pool {
    max: u32,
    wait: Duration,
    pool: Arc<bb8::Pool<Manager>>,
    state: Arc<PoolState>,
    metrics: Metrics,
}

/// Between two tries to reach a database that is away.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How often the size of a database is looked at.
const MEASURE: Duration = Duration::from_secs(60);
/// A pool all of whose connections are at work is well as long as a transaction succeeds this often.
const BUSY: Duration = Duration::from_secs(10);

pub type PooledConnection<'a> = bb8::PooledConnection<'a, Manager>;

impl Pool {
    /// Must be called on the runtime where the connections are to live.
    pub fn new(settings: &PoolSettings, metrics: &Metrics) -> Self {
        Self::with(Arc::new(PoolState::new(settings.name, Some(metrics.clone()))), settings, metrics)
    }

    /// A pool of the same database with other settings. What one pool learns of the database, the other knows.
    pub fn beside(&self, settings: &PoolSettings) -> Self {
        Self::with(self.state.clone(), settings, &self.metrics)
    }

    fn with(state: Arc<PoolState>, settings: &PoolSettings, metrics: &Metrics) -> Self {
        let manager = Manager::new(settings.database.clone(), settings.statement_timeout, state.clone());
        let pool = bb8::Pool::builder()
            .max_size(settings.max)
            .max_lifetime(settings.max_lifetime)
            .connection_timeout(settings.wait)
            // The backend that worked last has its plans and tables in the processor's caches.
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .test_on_check_out(false) // a round trip each; `get` looks at the socket instead
            .error_sink(Box::new(LogErrors(state.clone())))
            .build_unchecked(manager);
        metrics.pool_connections_max.with_label_values(&[settings.name]).set(settings.max.into());
        let pool = Arc::new(pool);
        let looked_at = Arc::downgrade(&pool);
        metrics.pool_connections.watch(settings.name, move || {
            let state = looked_at.upgrade()?.state();
            Some((state.connections.saturating_sub(state.idle_connections), state.idle_connections))
        });
        Pool { max: settings.max, wait: settings.wait, pool, state, metrics: metrics.clone() }
    }

    /// A connection that is good as far as one can tell, for as long as the current request waits.
    ///
    /// # Errors
    /// `Busy` or `Unreachable` when none is to be had within the pool's wait, or since another waited for that long in vain; `Abandoned`
    /// when nobody waits any more.
    pub async fn get(&self) -> Result<PooledConnection<'_>, DatabaseError> {
        let started = Instant::now();
        let connection = tokio::select! {
            biased;
            () = Waiting::current().over() => Err(self.fault(DatabaseFault::Abandoned)),
            connection = self.get_good() => connection,
        };
        self.metrics.pool_wait_seconds.with_label_values(&[self.state.name]).observe(started.elapsed().as_secs_f64());
        connection
    }

    async fn get_good(&self) -> Result<PooledConnection<'_>, DatabaseError> {
        if self.state.away.load(Ordering::Relaxed) {
            return Err(self.unreachable());
        }
        // Connections that broke while they were idle are met one after the other, and thrown away.
        for _ in 0..=self.max {
            match self.pool.get().await {
                Ok(mut connection) => {
                    if connection.is_good().await {
                        self.state.note_connected();
                        return Ok(connection);
                    }
                }
                // All are at work: the database is not away.
                Err(bb8::RunError::TimedOut) if self.pool.state().connections >= self.max => {
                    return Err(self.fault(DatabaseFault::Busy));
                }
                // The error itself went to the pool's sink.
                Err(_) => break,
            }
        }
        self.try_alone();
        Err(self.unreachable())
    }

    /// There is no connection; clients are told why where time does not mend it.
    pub(crate) fn unreachable(&self) -> DatabaseError {
        let refusal = self.state.refusal();
        self.state.note_unconnected(refusal);
        self.fault(match refusal {
            DatabaseFault::Foreign | DatabaseFault::Refused | DatabaseFault::Full => refusal,
            _ => DatabaseFault::Unreachable,
        })
    }

    pub(crate) fn fault(&self, fault: DatabaseFault) -> DatabaseError {
        DatabaseError::of(self.state.name, fault)
    }

    /// Where there is no connection at all, goes on trying to make one, for all that ask.
    fn try_alone(&self) {
        if self.pool.state().connections > 0 || self.state.away.swap(true, Ordering::Relaxed) {
            return;
        }
        let (pool, wait, state) = (Arc::downgrade(&self.pool), self.wait, self.state.clone());
        tokio::spawn(async move {
            // For as long as the actor has its pool.
            while let Some(pool) = pool.upgrade() {
                // Outside of the pool, whose own tries have pauses that grow.
                if matches!(timeout(wait, pool.dedicated_connection()).await, Ok(Ok(_))) {
                    return state.away.store(false, Ordering::Relaxed);
                }
                drop(pool);
                sleep(BETWEEN_TRIES).await;
            }
        });
    }

    /// A connection outside of the pool, for a caller that keeps it.
    ///
    /// # Errors
    /// `Unreachable` when it cannot be made within the pool's wait.
    pub async fn dedicated(&self) -> Result<Connection, DatabaseError> {
        match timeout(self.wait, self.pool.dedicated_connection()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => {
                self.state.note_refusal(&error);
                tracing::warn!(pool = self.state.name, %error, "no database connection");
            }
            Err(_) => tracing::warn!(pool = self.state.name, "no database connection in time"),
        }
        Err(self.unreachable())
    }

    /// Tries whether the database serves what it is asked, and says so in the metrics: it answers, takes writes where it is written to, and
    /// of the requests of late some succeeded. A pool that is busy is not tried: its own transactions tell.
    ///
    /// # Errors
    /// Why the database does not serve.
    pub async fn probe(&self) -> Result<(), DatabaseError> {
        let result = match self.get().await {
            Ok(mut connection) => connection.autocommit("probe", PROBE, async |tx| self.look(tx).await).await,
            Err(error) if error.fault == DatabaseFault::Busy && self.state.has_succeeded_within(BUSY) => Ok(false),
            Err(error) => Err(error),
        };
        self.metrics.database_up.with_label_values(&[self.state.name]).set(result.is_ok().into());
        let result = match (result, self.state.why_failing()) {
            (Ok(true), _) => Err(self.fault(DatabaseFault::ReadOnly)),
            (Ok(false), Some(fault)) => Err(self.fault(fault)),
            (result, _) => result.map(|_| ()),
        };
        self.metrics.database_serving.with_label_values(&[self.state.name]).set(result.is_ok().into());
        result
    }

    /// Whether a database that is written to takes no writes, as one that has become a standby. What else a database says of itself goes into
    /// the metrics.
    async fn look(&self, tx: &mut Transaction<'_>) -> Result<bool, Error> {
        match self.state.name {
            "write" | "vector_write" => {
                let statement = tx.prepare("-- probe\nSELECT current_setting('transaction_read_only')").await?;
                let is_read_only = tx.client().query_one(&statement, &[]).await?.get::<_, &str>(0) == "on";
                if self.state.may_measure(MEASURE) {
                    self.measure(tx).await;
                }
                Ok(is_read_only)
            }
            "read" => {
                tx.client().simple_query("").await?;
                // A server that answers and does not know how far it is behind serves all the same.
                if let Ok(statement) = tx.prepare(include_str!("replica_lag.sql")).await
                    && let Ok(row) = tx.client().query_one(&statement, &[]).await
                {
                    self.metrics.replica_lag_seconds.set(row.get(0));
                }
                Ok(false)
            }
            _ => {
                tx.client().simple_query("").await?;
                Ok(false)
            }
        }
    }

    /// Takes the size of the database, and where it has months how far ahead they are made. A database that cannot tell is no fault.
    async fn measure(&self, tx: &mut Transaction<'_>) {
        let measured = async {
            let statement = tx.prepare(include_str!("measure.sql")).await?;
            tx.client().query_one(&statement, &[]).await
        };
        let Ok(row) = measured.await else { return };
        let database = if self.state.name == "write" { "audit" } else { "vector" };
        self.metrics.database_size_bytes.with_label_values(&[database]).set(row.get("bytes"));
        if self.state.name == "write" {
            let ahead = row.get("months_ahead");
            self.metrics.partitions_ahead_months.set(ahead);
            if ahead == 0 {
                // They are about to be made.
                self.state.measure_again();
            }
        }
    }
}

/// The planner's switches where the tables are whole, and where they are distributed: there a plan is made for the shards of its values, and
/// nodes are told what is set for a transaction.
const WHOLE: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
                     SET enable_mergejoin = off";
const DISTRIBUTED: &str = "SET plan_cache_mode = auto; SET citus.propagate_set_commands = 'local'";

/// Makes connections that acknowledge a commit only when it is durable.
pub struct Manager {
    database: DatabaseConfig,
    settings: String,
    state: Arc<PoolState>,
}

impl Manager {
    /// A weaker setting of the server or the role than `on` would break the first promise; a stronger one is left alone. The planner's
    /// switches are explained and measured in docs/performance.md, "Plans".
    fn new(database: DatabaseConfig, statement_timeout: Option<Duration>, state: Arc<PoolState>) -> Self {
        let settings = format!(
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write'); \
             {}; SET max_parallel_workers_per_gather = 0; SET lock_timeout = {}; SET statement_timeout = {}",
            if database.distribution().is_some() { DISTRIBUTED } else { WHOLE },
            LOCK_TIMEOUT.as_millis(),
            statement_timeout.map_or(0, |timeout| timeout.as_millis())
        );
        Manager { database, settings, state }
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = Connection;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Connection, ConnectError> {
        Connection::open(&self.database, &self.settings, &self.state).await
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        Ok(connection.client().simple_query("").await.map(|_| ())?)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_spoilt()
    }
}

#[derive(Clone)]
struct LogErrors(Arc<PoolState>);

impl fmt::Debug for LogErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl bb8::ErrorSink<ConnectError> for LogErrors {
    fn sink(&self, error: ConnectError) {
        self.0.note_refusal(&error);
        match &error {
            // Before the first migration there is nothing to be said.
            ConnectError::Nameless => {}
            ConnectError::Foreign(_) if self.0.may_tell() => {
                tracing::error!(pool = self.0.name, %error, "the database is of another store: set its URL to one of this store");
            }
            ConnectError::Foreign(_) => {}
            error => tracing::warn!(pool = self.0.name, %error, "no database connection"),
        }
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<ConnectError>> {
        Box::new(self.clone())
    }
}
