//! A pool of connections that hold their prepared statements.

use super::{DatabaseConfig, Driver};
use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::waiting::Waiting;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Error, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

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

/// The pool of one actor. It connects when a connection is asked for, and never blocks the start.
#[derive(Clone)]
pub struct Pool {
    name: &'static str,
    max: u32,
    wait: Duration,
    pool: bb8::Pool<Manager>,
    /// Set while no connection can be made: who asks then is told so at once.
    away: Arc<AtomicBool>,
    metrics: Metrics,
}

/// Between two tries to reach a database that is away.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

const NO_CONNECTION: ActorError = ActorError::Unavailable("PostgreSQL connection failed");

pub type PooledConnection<'a> = bb8::PooledConnection<'a, Manager>;

impl Pool {
    /// Must be called on the runtime where the connections are to live.
    pub fn new(settings: &PoolSettings, metrics: &Metrics) -> Self {
        let pool = bb8::Pool::builder()
            .max_size(settings.max)
            .max_lifetime(settings.max_lifetime)
            .connection_timeout(settings.wait)
            .test_on_check_out(false) // a round trip each; `get` looks at the socket instead
            .error_sink(Box::new(LogErrors(settings.name)))
            .build_unchecked(Manager::new(settings.name, settings.database.clone(), settings.statement_timeout));
        metrics.pool_connections_max.with_label_values(&[settings.name]).set(settings.max.into());
        let (name, max, wait) = (settings.name, settings.max, settings.wait);
        Pool { name, max, wait, pool, away: Arc::default(), metrics: metrics.clone() }
    }

    /// A connection whose socket is open.
    ///
    /// # Errors
    /// `Unavailable` when none is to be had within the pool's wait, or since another waited for that long in vain.
    pub async fn get(&self) -> Result<PooledConnection<'_>, ActorError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(NO_CONNECTION);
        }
        // Connections that broke while they were idle are met one after the other, and thrown away.
        for _ in 0..=self.max {
            match self.pool.get().await {
                Ok(connection) if connection.client.is_closed() => {}
                Ok(mut connection) if connection.generation < generation(self.name).load(Ordering::SeqCst) => {
                    connection.in_transaction = true; // thrown away
                }
                Ok(connection) => {
                    self.count();
                    return Ok(connection);
                }
                // All are at work: the database is not away.
                Err(bb8::RunError::TimedOut) if self.pool.state().connections >= self.max => {
                    self.count();
                    return Err(ActorError::Unavailable("the service is overloaded"));
                }
                Err(error) => {
                    tracing::warn!(pool = self.name, %error, "no database connection");
                    break;
                }
            }
        }
        self.count();
        self.try_alone();
        Err(NO_CONNECTION)
    }

    /// Where there is no connection at all, goes on trying to make one, for all that ask.
    fn try_alone(&self) {
        if self.pool.state().connections > 0 || self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        let (pool, wait, away) = (self.pool.clone(), self.wait, Arc::downgrade(&self.away));
        tokio::spawn(async move {
            // For as long as the actor has its pool.
            while let Some(away) = away.upgrade() {
                // Outside of the pool, whose own tries have pauses that grow.
                if matches!(timeout(wait, pool.dedicated_connection()).await, Ok(Ok(_))) {
                    return away.store(false, Ordering::Relaxed);
                }
                sleep(BETWEEN_TRIES).await;
            }
        });
    }

    /// As [`Self::get`], for as long as somebody waits.
    ///
    /// # Errors
    /// As [`Self::get`], and when nobody waits any more.
    pub async fn get_awaited(&self, waiting: &Waiting) -> Result<PooledConnection<'_>, ActorError> {
        tokio::select! {
            biased;
            () = waiting.clone().over() => Err(ActorError::Gone),
            connection = self.get() => connection,
        }
    }

    /// A connection outside of the pool, for a caller that keeps it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be made within the pool's wait.
    pub async fn dedicated(&self) -> Result<Connection, ActorError> {
        match timeout(self.wait, self.pool.dedicated_connection()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => tracing::warn!(pool = self.name, %error, "no database connection"),
            Err(_) => tracing::warn!(pool = self.name, "no database connection in time"),
        }
        Err(NO_CONNECTION)
    }

    /// Tries the database, and says so in the metrics. A connection that does not answer in time is not used again.
    pub async fn probe(&self) -> Result<(), ActorError> {
        let result = self.try_out().await;
        self.metrics.database_up.with_label_values(&[self.name]).set(result.is_ok().into());
        result
    }

    async fn try_out(&self) -> Result<(), ActorError> {
        let mut connection = self.get().await?;
        connection.in_transaction = true;
        match timeout(PROBE, connection.client.simple_query("-- probe\nSELECT 1")).await {
            Ok(Ok(_)) => {
                connection.in_transaction = false;
                Ok(())
            }
            Ok(Err(error)) => Err(super::sqlstate::handle(&error, "probe")),
            Err(_) => Err(ActorError::Unavailable("PostgreSQL does not answer")),
        }
    }

    fn count(&self) {
        let state = self.pool.state();
        let gauge = &self.metrics.pool_connections;
        gauge.with_label_values(&[self.name, "open"]).set(state.connections.into());
        gauge.with_label_values(&[self.name, "idle"]).set(state.idle_connections.into());
    }
}

/// One connection and the statements that it has prepared.
pub struct Connection {
    pub client: Arc<Client>,
    statements: HashMap<String, Statement>,
    generation: u64,
    /// A statement is cancelled over a connection of its own.
    tls: MakeRustlsConnect,
    /// Set by whatever the server warns of; a COMMIT whose wait for a standby was ended is a success with a warning.
    warned: Arc<AtomicBool>,
    /// Set from BEGIN to the end of the transaction: a connection given back in between is thrown away.
    pub in_transaction: bool,
}

/// Connections of an earlier generation are not used again: of the write, read, vector write and vector read pool.
static GENERATIONS: [AtomicU64; 4] = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];

fn generation(pool: &str) -> &'static AtomicU64 {
    let at = ["write", "read", "vector_write", "vector_read"].iter().position(|name| *name == pool);
    &GENERATIONS[at.unwrap_or(0)]
}

/// Has every connection of the pool that a transaction ran on made anew before it is used again.
pub(crate) fn distrust(transaction: &str) {
    let pool = match transaction.split('.').next() {
        Some("vector_writer") => "vector_write",
        Some("similarity") => "vector_read",
        Some("query") => "read",
        _ => "write",
    };
    generation(pool).fetch_add(1, Ordering::SeqCst);
}

/// Cancellations under way at once: each is a connection of its own.
static CANCELS: Semaphore = Semaphore::const_new(4);

/// More statements than all sets of filters that are really in use.
const MAX_STATEMENTS: usize = 512;

impl Connection {
    /// Hands a transaction's result on, and ends one that failed.
    ///
    /// # Errors
    /// The result's.
    pub async fn or_undone<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() && !self.client.is_closed() {
            self.in_transaction = self.client.batch_execute("ROLLBACK").await.is_err();
        }
        result
    }

    /// Runs a read for as long as somebody waits for it. Then it is cancelled on the server, so that it costs nothing more, and the
    /// connection is not used again.
    ///
    /// # Errors
    /// `Gone` when nobody waits any more.
    pub async fn while_awaited<T>(
        &mut self,
        waiting: Waiting,
        read: impl AsyncFnOnce(&mut Connection) -> T,
    ) -> Result<T, ActorError> {
        tokio::select! {
            biased;
            done = read(self) => Ok(done),
            () = waiting.over() => {
                self.in_transaction = true;
                self.cancel();
                Err(ActorError::Gone)
            }
        }
    }

    /// Has the server give up what runs here. In a flood of them the statements' own time-out does it.
    fn cancel(&self) {
        let Ok(turn) = CANCELS.try_acquire() else { return };
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        tokio::spawn(async move {
            let _turn = turn;
            if let Ok(Err(error)) = timeout(SETTINGS, token.cancel_query(tls)).await {
                tracing::warn!(%error, "an abandoned read could not be cancelled");
            }
        });
    }

    /// Whether the server has warned of anything since the last time.
    pub fn has_warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// The prepared statement of this text.
    ///
    /// # Errors
    /// PostgreSQL's, where it is not prepared yet.
    pub async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Does a connection's reading and writing until it ends, and notes warnings, which come before the answer that they belong to. An
/// error is the client's next one.
async fn drive(mut driver: Driver, warned: Arc<AtomicBool>) {
    while let Some(Ok(message)) = poll_fn(|cx| driver.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message
            && *notice.code() == SqlState::WARNING
        {
            tracing::warn!(message = notice.message(), "PostgreSQL warns");
            warned.store(true, Ordering::SeqCst);
        }
    }
}

/// How long a connection may take to be set up.
const SETTINGS: Duration = Duration::from_secs(3);
/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// Makes connections that acknowledge a commit only when it is durable.
pub struct Manager {
    pool: &'static str,
    database: DatabaseConfig,
    settings: String,
}

impl Manager {
    /// A weaker setting of the server or the role than `on` would break the first promise; a stronger one is left alone. A plan
    /// is made once a statement: over many partitions planning costs more than the work. Every statement has an index that fits
    /// it, and a plan that was made while a table was small must not scan it when it has grown. Nobody waits long for a row
    /// that somebody else has locked.
    fn new(pool: &'static str, database: DatabaseConfig, statement_timeout: Option<Duration>) -> Self {
        let timeout = statement_timeout.map_or(0, |timeout| timeout.as_millis());
        let settings = format!(
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write'); \
             SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
             SET enable_mergejoin = off; SET lock_timeout = 500; SET statement_timeout = {timeout}"
        );
        Manager { pool, database, settings }
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let generation = generation(self.pool).load(Ordering::SeqCst);
        let (client, driver) = self.database.connect().await?;
        let warned = Arc::new(AtomicBool::new(false));
        tokio::spawn(drive(driver, warned.clone()));
        match timeout(SETTINGS, client.batch_execute(&self.settings)).await {
            Ok(done) => done?,
            Err(_) => return Err(Error::__private_api_timeout()),
        }
        // What a server says of itself at the start is no word on a commit.
        warned.store(false, Ordering::SeqCst);
        Ok(Connection {
            client: Arc::new(client),
            statements: HashMap::new(),
            generation,
            tls: self.database.tls.clone(),
            warned,
            in_transaction: false,
        })
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        connection.client.simple_query("").await.map(|_| ())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.in_transaction || connection.client.is_closed()
    }
}

#[derive(Debug, Clone)]
struct LogErrors(&'static str);

impl bb8::ErrorSink<Error> for LogErrors {
    fn sink(&self, error: Error) {
        super::sqlstate::handle(&error, self.0);
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<Error>> {
        Box::new(self.clone())
    }
}
