//! A few connections that many short reads share: requests are sent one after the other without waiting for answers, which costs
//! PostgreSQL far less than a connection for each.

use crate::db::pool::{Connection, Pool};
use crate::error::ActorError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_postgres::{Client, Error, Statement};

/// The shared connections.
pub(super) struct Pipeline {
    pool: Pool,
    slots: Vec<Mutex<Option<Arc<Shared>>>>,
    max_lifetime: Duration,
}

/// One of them.
pub(super) struct Shared {
    connection: Mutex<Connection>,
    /// The same connection's: for sending while another request prepares.
    client: Arc<Client>,
    born: Instant,
}

impl Pipeline {
    pub fn new(pool: Pool, connections: u32, max_lifetime: Duration) -> Self {
        Pipeline { pool, slots: (0..connections).map(|_| Mutex::new(None)).collect(), max_lifetime }
    }

    /// The one with the fewest requests under way.
    pub async fn get(&self) -> Result<Arc<Shared>, ActorError> {
        let load = |slot: &&Mutex<Option<Arc<Shared>>>| match slot.try_lock() {
            Ok(slot) => slot.as_ref().map_or(0, Arc::strong_count),
            // It is being connected.
            Err(_) => usize::MAX,
        };
        let Some(slot) = self.slots.iter().min_by_key(load) else {
            return Err(ActorError::Unavailable("no shared connections"));
        };
        let mut slot = slot.lock().await;
        match &*slot {
            Some(shared) if !shared.client.is_closed() && shared.born.elapsed() < self.max_lifetime => {
                Ok(shared.clone())
            }
            _ => {
                let connection = self.pool.dedicated().await?;
                let client = connection.client.clone();
                let shared = Arc::new(Shared { connection: Mutex::new(connection), client, born: Instant::now() });
                *slot = Some(shared.clone());
                Ok(shared)
            }
        }
    }
}

impl Pipeline {
    /// Has the next one who asks connect anew.
    pub async fn discard(&self, lost: &Arc<Shared>) {
        for slot in &self.slots {
            let mut slot = slot.lock().await;
            if slot.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, lost)) {
                *slot = None;
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
        let client = connection.client.clone();
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
}
