//! Reads that go straight to the node that has a shard, where the tables are distributed and `CITUS_DIRECT` is set. There PostgreSQL plans a
//! statement once for each connection; what goes through the coordinator is planned by it and by the node each time.

use crate::db::connection::Connection;
use crate::db::pool::{Pool, PoolSettings};
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::metrics::Metrics;
use crate::shards::{GUARD, LOCK, Nodes, Shard, ShardMap};
use futures_util::future::try_join_all;
use futures_util::join;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Connections to a node: each prepares statements of its own for each shard.
const CONNECTIONS: u32 = 4;
/// How often the shards are looked for again.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

pub(super) struct ShardReader {
    settings: PoolSettings,
    metrics: Metrics,
    coordinator: Pool,
    nodes: Nodes,
    map: RefCell<Arc<ShardMap>>,
}

impl ShardReader {
    pub fn new(settings: &PoolSettings, metrics: Metrics, coordinator: Pool) -> Self {
        let settings = PoolSettings { max: settings.max.min(CONNECTIONS), ..settings.clone() };
        ShardReader { settings, metrics, coordinator, nodes: Nodes::default(), map: RefCell::default() }
    }

    /// Looks where the shards are.
    pub async fn find_shards(&self) {
        match ShardMap::read(&self.coordinator).await {
            Ok(map) => *self.map.borrow_mut() = Arc::new(map),
            // Before the first migration there are none.
            Err(error) if error.fault == DatabaseFault::Schema => {}
            Err(error) => error.log("the shards are not known; the next turn looks again"),
        }
    }

    fn map(&self) -> Arc<ShardMap> {
        self.map.borrow().clone()
    }

    /// Runs a read of one bucket. `None` where it is not known which node has it, or where it was elsewhere: then the coordinator knows.
    ///
    /// # Errors
    /// As [`Connection::autocommit`].
    pub async fn read<T>(
        &self,
        transaction: &'static str,
        limit: Duration,
        bucket: Bucket,
        read: impl AsyncFn(&mut Connection) -> Result<T, Error>,
    ) -> Result<Option<T>, DatabaseError> {
        let map = self.map();
        let Some(shard) = map.of_bucket(bucket).and_then(|at| map.shards.get(at)) else { return Ok(None) };
        self.unless_moved(self.read_alone(transaction, limit, shard, &read).await).await
    }

    /// Runs a read on each shard, all at once. `None` as for [`Self::read`].
    ///
    /// # Errors
    /// As [`Connection::autocommit`].
    pub async fn read_each<T>(
        &self,
        transaction: &'static str,
        limit: Duration,
        read: impl AsyncFn(&mut Connection) -> Result<T, Error>,
    ) -> Result<Option<Vec<T>>, DatabaseError> {
        let map = self.map();
        if map.shards.is_empty() {
            return Ok(None);
        }
        let read_all = async {
            let each = map.shards.iter().map(|shard| async {
                let pool = self.pool(shard);
                let mut connection = pool.get().await.map_err(of_a_node)?;
                connection.call_tables(shard.names.clone());
                connection.autocommit(transaction, limit, async |tx| read(tx).await).await.map_err(of_a_node)
            });
            let found = try_join_all(each).await?;
            // Nobody writes to a shard elsewhere before the coordinator has it there.
            let mut coordinator = self.coordinator.get().await?;
            let is_placed = async |tx: &mut Transaction<'_>| map.is_placed(tx).await;
            match coordinator.autocommit(transaction, limit, is_placed).await? {
                true => Ok(found),
                false => Err(DatabaseError::of(transaction, DatabaseFault::Moved)),
            }
        };
        self.unless_moved(read_all.await).await
    }

    fn pool(&self, shard: &Shard) -> Pool {
        self.nodes.pool(&shard.node, "read_node", &self.settings, &self.metrics)
    }

    /// Without the coordinator.
    async fn read_alone<T>(
        &self,
        transaction: &'static str,
        limit: Duration,
        shard: &Shard,
        read: &impl AsyncFn(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let pool = self.pool(shard);
        let mut connection = pool.get().await.map_err(of_a_node)?;
        connection.call_tables(shard.names.clone());
        let read = async |tx: &mut Transaction<'_>| {
            let (lock, guard) = (tx.prepare(LOCK).await?, tx.prepare(GUARD).await?);
            let found = read(tx).await?;
            // Afterwards: where the shard is here now, it was when it was read. A move that other nodes know of already, and this one does
            // not yet, still has its lock here.
            let (client, ids): (_, [&(dyn ToSql + Sync); 1]) = (tx.client(), [&shard.ids]);
            let (locked, here) = join!(client.query(&lock, &ids), client.query(&guard, &ids));
            locked.and(here)?;
            Ok(found)
        };
        connection.autocommit(transaction, limit, read).await.map_err(of_a_node)
    }

    async fn unless_moved<T>(&self, result: Result<T, DatabaseError>) -> Result<Option<T>, DatabaseError> {
        match result {
            Err(error) if matches!(error.fault, DatabaseFault::Moved | DatabaseFault::Schema) => {
                self.find_shards().await;
                Ok(None)
            }
            // A shard is being moved: until the next turn all goes through the coordinator.
            Err(error) if error.fault == DatabaseFault::Locked => {
                self.map.take();
                Ok(None)
            }
            result => result.map(Some),
        }
    }
}

/// What failed on the way to a node. Without this it would be told as a fault of the database as a whole.
fn of_a_node(error: DatabaseError) -> DatabaseError {
    match error.fault {
        DatabaseFault::Away | DatabaseFault::Unreachable => error.because(DatabaseFault::Node),
        _ => error,
    }
}
