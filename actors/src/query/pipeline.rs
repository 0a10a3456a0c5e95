//! A few connections that many short reads share: requests are sent one after the other without waiting for answers, which costs
//! PostgreSQL far less than a connection for each.

use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::pool_state::PoolState;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::statement::ComposedStatement;
use crate::db::transaction::bounded;
use crate::metrics::OpenConnections;
use crate::waiting::Waiting;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_postgres::{Client, Error, Row, Statement};

/// The shared connections.
pub(super) struct Pipeline {
    pool: Pool,
    slots: Vec<Mutex<Slot>>,
    max_lifetime: Duration,
}

/// The place of one of them.
#[derive(Default)]
struct Slot {
    shared: Option<Arc<Shared>>,
    /// When the last try to connect ended in vain. A read that came before then does not try again: it would only lengthen the line.
    failed: Option<Instant>,
}

/// A connection that many reads share.
pub(super) struct Shared {
    connection: Mutex<Connection>,
    /// The same connection's: for sending while another request prepares.
    client: Arc<Client>,
    state: Arc<PoolState>,
    born: Instant,
    /// When the last answer came.
    answered: std::sync::Mutex<Instant>,
}

/// The server gives up a statement of a shared connection sooner than this: a connection without any answer for longer is lost.
const SILENT: Duration = Duration::from_millis(750);

impl Shared {
    fn new(connection: Connection) -> Self {
        let (client, state, born) = (connection.client(), connection.state().clone(), Instant::now());
        Shared { connection: Mutex::new(connection), client, state, born, answered: std::sync::Mutex::new(born) }
    }

    /// Whether nobody has got an answer since then, although that is long ago.
    pub fn is_silent_since(&self, asked: Instant) -> bool {
        let answered = self.answered.lock().map_or(asked, |answered| *answered);
        asked.elapsed() >= SILENT && answered < asked
    }

    /// Runs a read here, within the same bounds as a read on a connection of its own.
    pub async fn read<T>(
        &self,
        transaction: &'static str,
        limit: Duration,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, DatabaseError> {
        let read = async {
            let answer = read.await;
            if let Ok(mut answered) = self.answered.lock() {
                *answered = Instant::now();
            }
            answer.map_err(|error| DatabaseError::new(transaction, error))
        };
        bounded(&self.state, transaction, limit, read).await
    }
}

impl Pipeline {
    pub fn new(pool: Pool, connections: u32, max_lifetime: Duration) -> Self {
        Pipeline { pool, slots: (0..connections).map(|_| Mutex::default()).collect(), max_lifetime }
    }

    /// The one with the fewest requests under way, for as long as the current request waits.
    ///
    /// # Errors
    /// `Unreachable` when it cannot be connected; `Abandoned` when nobody waits any more.
    pub async fn get(&self) -> Result<Arc<Shared>, DatabaseError> {
        tokio::select! {
            biased;
            () = Waiting::current().over() => Err(self.pool.fault(DatabaseFault::Abandoned)),
            shared = self.connected() => shared,
        }
    }

    async fn connected(&self) -> Result<Arc<Shared>, DatabaseError> {
        let load = |slot: &&Mutex<Slot>| match slot.try_lock() {
            Ok(slot) => slot.shared.as_ref().map_or(0, Arc::strong_count),
            // It is being connected.
            Err(_) => usize::MAX,
        };
        let came = Instant::now();
        let slot = self.slots.iter().min_by_key(load).ok_or_else(|| self.pool.fault(DatabaseFault::Busy))?;
        let mut slot = slot.lock().await;
        if let Some(shared) = &slot.shared
            && !shared.client.is_closed()
            && shared.born.elapsed() < self.max_lifetime
        {
            return Ok(shared.clone());
        }
        if slot.failed.is_some_and(|failed| came <= failed) {
            return Err(self.pool.unreachable());
        }
        match self.pool.dedicated().await {
            Ok(connection) => {
                let shared = Arc::new(Shared::new(connection));
                *slot = Slot { shared: Some(shared.clone()), failed: None };
                Ok(shared)
            }
            Err(error) => {
                slot.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// How many connections carry reads now, and how many none. One that is being made is neither.
    pub fn open(&self) -> OpenConnections {
        let mut open = (0, 0);
        for slot in self.slots.iter().filter_map(|slot| slot.try_lock().ok()) {
            match slot.shared.as_ref().map(Arc::strong_count) {
                None => {}
                Some(1) => open.1 += 1,
                Some(_) => open.0 += 1,
            }
        }
        open
    }

    /// Has the next read connect anew.
    pub async fn discard(&self, lost: &Arc<Shared>) {
        for slot in &self.slots {
            let mut slot = slot.lock().await;
            if slot.shared.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, lost)) {
                slot.shared = None;
            }
        }
    }
}

/// What a read needs of a connection, be it shared or its own.
pub(super) enum Ask<'a> {
    Shared(&'a Shared),
    Own(Mutex<&'a mut Connection>, Arc<Client>),
}

impl<'a> Ask<'a> {
    pub fn own(connection: &'a mut Connection) -> Self {
        let client = connection.client().clone();
        Ask::Own(Mutex::new(connection), client)
    }

    pub fn client(&self) -> &Client {
        match self {
            Ask::Shared(shared) => &shared.client,
            Ask::Own(_, client) => client,
        }
    }

    pub async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        match self {
            Ask::Shared(shared) => shared.connection.lock().await.prepare(sql).await,
            Ask::Own(connection, _) => connection.lock().await.prepare(sql).await,
        }
    }

    /// Runs a statement, prepared.
    pub async fn run(&self, statement: &ComposedStatement<'_>) -> Result<Vec<Row>, Error> {
        let prepared = self.prepare(&statement.sql).await?;
        self.client().query(&prepared, &statement.params()).await
    }
}
