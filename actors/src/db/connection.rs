//! One connection to PostgreSQL and the statements that it has prepared.

use super::pool_state::PoolState;
use super::store_identity::StoreIdentity;
use super::template::{TableNames, placed, renamed};
use super::{ConnectError, DatabaseConfig, Driver};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Error, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a statement waits for a row or table that somebody else has locked.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection may take to be set up, or a cancellation.
const SET_UP: Duration = Duration::from_secs(3);
/// How long a connection may take to show that it is still good.
const TRIAL: Duration = Duration::from_secs(1);
/// Statements that a connection keeps prepared: more than all sets of filters that are really in use.
const MAX_STATEMENTS: usize = 512;

/// Cancellations under way at once: each is a connection of its own.
static CANCELS: Semaphore = Semaphore::const_new(4);

/// Its statements run in transactions only (`transaction.rs`).
pub struct Connection {
    client: Arc<Client>,
    statements: HashMap<String, Statement>,
    state: Arc<PoolState>,
    /// The pool's count of doubts when this connection last showed that it is good.
    generation: u64,
    /// A statement is cancelled over a connection of its own.
    tls: MakeRustlsConnect,
    /// Set by whatever the server warns of; a COMMIT whose wait for a standby was ended is a success with a warning.
    warned: Arc<AtomicBool>,
    /// The store that it must lead to, where that was not known or not told yet.
    unverified: Option<StoreIdentity>,
    /// Never to be used again.
    is_spoilt: bool,
    is_distributed: bool,
    /// What tables are called here, where their own names are not it.
    names: Option<Arc<TableNames>>,
}

impl Connection {
    /// Connects, and sends the settings.
    pub(super) async fn open(
        database: &DatabaseConfig,
        settings: &str,
        state: &Arc<PoolState>,
    ) -> Result<Self, ConnectError> {
        let generation = state.generation();
        let (client, driver) = database.connect().await?;
        let warned = Arc::new(AtomicBool::new(false));
        tokio::spawn(drive(driver, warned.clone()));
        timeout(SET_UP, client.batch_execute(settings)).await.map_err(|_| ConnectError::Late)??;
        let is_verified = match &database.expectation {
            Some(expectation) => {
                timeout(SET_UP, expectation.check(&client)).await.map_err(|_| ConnectError::Late)??
            }
            None => false,
        };
        // What a server says of itself at the start is no word on a commit.
        warned.store(false, Ordering::SeqCst);
        Ok(Connection {
            client: Arc::new(client),
            statements: HashMap::new(),
            state: state.clone(),
            generation,
            tls: database.tls.clone(),
            warned,
            unverified: database.expectation.clone().filter(|_| !is_verified).map(|expectation| expectation.own),
            is_spoilt: false,
            is_distributed: database.distribution().is_some(),
            names: None,
        })
    }

    /// A connection outside of any pool, for a command or for the start.
    pub(crate) async fn alone(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        Self::open(database, "", &Arc::new(PoolState::alone())).await
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.clone()
    }

    pub(crate) fn state(&self) -> &Arc<PoolState> {
        &self.state
    }

    /// Whether the tables are distributed.
    pub fn is_distributed(&self) -> bool {
        self.is_distributed
    }

    /// What tables are called from now on.
    pub(crate) fn call_tables(&mut self, names: Arc<TableNames>) {
        self.names = Some(names);
    }

    /// The prepared statement of this text.
    ///
    /// # Errors
    /// PostgreSQL's, where it is not prepared yet.
    pub async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        let renamed = self.names.as_deref().map(|names| renamed(sql, names));
        let sql = renamed.as_deref().unwrap_or(sql);
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&placed(sql, self.is_distributed)).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Whether the server has warned of anything since the last time.
    pub(super) fn has_warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_spoilt(&self) -> bool {
        // One from before the store's name was known makes room for one that is verified.
        let is_doubtful = self.unverified.as_ref().is_some_and(|own| own.get().is_some());
        self.is_spoilt || is_doubtful || self.client.is_closed()
    }

    /// Has the server give up what runs here, and the pool throw the connection away.
    pub(super) fn spoil(&mut self) {
        self.is_spoilt = true;
        if self.client.is_closed() {
            return;
        }
        // In a flood of cancellations the server's own limits end the rest; at the end of a runtime the connection ends with it.
        let Ok(turn) = CANCELS.try_acquire() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        runtime.spawn(async move {
            let _turn = turn;
            if let Ok(Err(error)) = timeout(SET_UP, token.cancel_query(tls)).await {
                tracing::warn!(%error, "an abandoned statement could not be cancelled");
            }
        });
    }

    /// Whether the connection answers, where the pool has come to doubt it: where one connection has fallen silent, others may have too.
    pub(super) async fn is_good(&mut self) -> bool {
        let now = self.state.generation();
        if self.is_spoilt() || self.state.is_lost(self.generation) {
            self.is_spoilt = true;
            return false;
        }
        if self.generation == now {
            return true;
        }
        match timeout(TRIAL, self.client.simple_query("")).await {
            Ok(Ok(_)) => {
                self.generation = now;
                true
            }
            answer => {
                if answer.is_err() {
                    // Silence here is no slow statement: those of its age need not be tried.
                    self.state.lose(now);
                }
                self.is_spoilt = true;
                false
            }
        }
    }
}

/// Does a connection's reading and writing until it ends, and notes warnings, which come before the answer that they belong to. An
/// error is the client's next one.
async fn drive(mut driver: Driver, warned: Arc<AtomicBool>) {
    while let Some(Ok(message)) = poll_fn(|cx| driver.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message
            && *notice.code() == SqlState::WARNING
        {
            tracing::warn!(notice = notice.message(), "PostgreSQL warns");
            warned.store(true, Ordering::SeqCst);
        }
    }
}
