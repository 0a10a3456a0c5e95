//! Where the rows of a bucket are, in tables that are distributed: a flush of one shard is a transaction of one node, and may go straight to it,
//! as may a read.
//!
//! Straight to it means to the tables of the shard themselves, by the statements for whole tables: to PostgreSQL they are that. A node that
//! moves or splits a shard takes a lock of its own on it, which the flush shares ([`GUARD`]), and looks then whether the shard is still there. A
//! read looks afterwards: what it read before was valid then.

mod nodes;

pub(crate) use nodes::Nodes;

use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::template::{TableNames, renamed};
use crate::db::transaction::Transaction;
use crate::domain::bucket::{BUCKETS, Bucket};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(5);

/// The tables that are written to and read so, all of one bucket on one node. Those whose names begin alike come longest first.
const TABLES: [&str; 9] = [
    "resource_action_traces",
    "remediation_audit",
    "earlier_attempts",
    "embedding_outbox",
    "workflow_audit",
    "incident_workflows",
    "dropped_incidents",
    "count_changes",
    "incident_ids",
];

/// Shares the lock of the shards ($1) with other writers of theirs, and fails by a division by zero where one of them is not on this node.
pub(crate) const GUARD: &str = "-- shards.guard
SELECT 1 / (count(*) = cardinality($1::bigint[]))::int AS is_here
FROM pg_catalog.pg_dist_placement AS p
WHERE p.shardid = ANY ($1) AND p.shardstate = 1 AND p.groupid = (SELECT g.groupid FROM pg_catalog.pg_dist_local_group AS g)";
pub(crate) const LOCK: &str = "-- shards.lock\nSELECT pg_catalog.lock_shard_metadata(5, $1::bigint[])"; // ShareLock

/// A node by its host and port, as Citus knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The tables of some buckets on one node.
#[derive(Debug)]
pub(crate) struct Shard {
    pub node: Node,
    /// Of one of its tables, for the lock: all of a shard move and are split together.
    pub ids: Vec<i64>,
    /// The names of the shard's tables, by those of the distributed ones.
    pub names: Arc<TableNames>,
    /// Statements as they are for this shard, by the address of their text, which is never freed.
    texts: Mutex<HashMap<usize, String>>,
}

impl Shard {
    /// A statement with the names of this shard's tables, and with parameters in the place of sequences, which are on the coordinator: each
    /// `nextval` takes the parameters behind the last one.
    pub fn statement(&self, sql: &'static str) -> String {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.entry(sql.as_ptr() as usize).or_insert_with(|| self.fill(sql)).clone()
    }

    fn fill(&self, sql: &str) -> String {
        let mut text = renamed(sql, &self.names);
        let next = parameters(&text) + 1;
        text = text.replace("nextval('incident_number')", &format!("(${next}::bigint[])[row_number() OVER ()]"));
        text.replace("nextval('count_change_number')", &format!("${next}::bigint"))
    }
}

/// The number of a change, as good as unique: the sequence is on the coordinator.
pub(crate) fn number() -> i64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    (high >> 1).cast_signed()
}

/// The number of the last parameter of a statement.
fn parameters(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.filter_map(|digits| digits.parse().ok()).max().unwrap_or(0)
}

/// The shards of the store.
#[derive(Debug, Default)]
pub(crate) struct ShardMap {
    pub shards: Vec<Shard>,
    /// By bucket; empty where nothing is known, and `None` where it is not known of one.
    of_bucket: Vec<Option<usize>>,
}

impl ShardMap {
    /// Waits for moves and splits that are about to end: their nodes know of it one after the other, and what is written where a shard has come
    /// to must not be looked for where it was.
    ///
    /// # Errors
    /// PostgreSQL's; `Locked` while a shard is being moved.
    pub async fn read(pool: &Pool) -> Result<Self, DatabaseError> {
        let mut connection = pool.get().await?;
        let read = async |tx: &mut Transaction<'_>| {
            let map = Self::look(tx).await?;
            if map.shards.is_empty() {
                return Ok(map);
            }
            let lock = tx.prepare(LOCK).await?;
            let ids: Vec<i64> = map.shards.iter().flat_map(|shard| shard.ids.iter().copied()).collect();
            tx.client().query(&lock, &[&ids]).await?;
            Self::look(tx).await
        };
        connection.transaction("shards.read", LIMIT, read).await
    }

    async fn look(tx: &mut Transaction<'_>) -> Result<Self, Error> {
        let tables: Vec<&str> = TABLES.to_vec();
        let shards = tx.prepare(include_str!("list_shards.sql")).await?;
        let buckets = tx.prepare(include_str!("find_shards.sql")).await?;
        let last = i32::try_from(BUCKETS - 1).unwrap_or(i32::MAX);
        let rows = tx.client().query(&shards, &[&tables]).await?;
        // Before all are distributed there is nothing to be known.
        let distributed: HashSet<&str> = rows.iter().map(|row| row.get("table_name")).collect();
        if distributed.len() < TABLES.len() {
            return Ok(ShardMap::default());
        }
        let of_bucket = tx.client().query(&buckets, &[&last]).await?;
        Ok(Self::of(&rows, &of_bucket))
    }

    fn of(rows: &[Row], of_bucket: &[Row]) -> Self {
        // Shards of one range of hashes are placed together.
        let mut by_range: BTreeMap<i32, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            by_range.entry(row.get("first_hash")).or_default().push(row);
        }
        let (mut shards, mut places) = (Vec::new(), HashMap::new());
        for rows in by_range.into_values() {
            let Some(first) = rows.first() else { continue };
            let mut ids: Vec<i64> = rows.iter().map(|row| row.get("shard")).collect();
            ids.sort_unstable();
            let name = |row: &&Row| {
                let table: &str = row.get("table_name");
                Some((*TABLES.iter().find(|known| **known == table)?, row.get("shard_name")))
            };
            places.extend(ids.iter().map(|id| (*id, shards.len())));
            ids.truncate(1);
            shards.push(Shard {
                node: Node {
                    host: first.get("host"),
                    port: u16::try_from(first.get::<_, i32>("port")).unwrap_or(5432),
                },
                ids,
                names: Arc::new(rows.iter().filter_map(name).collect()),
                texts: Mutex::default(),
            });
        }
        let place = |row: &Row| places.get(&row.get::<_, Option<i64>>("shard")?).copied();
        let of_bucket = of_bucket.iter().map(place).collect();
        ShardMap { shards, of_bucket }
    }

    /// Whether the coordinator has all shards where they are known to be.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn is_placed(&self, connection: &mut Connection) -> Result<bool, Error> {
        let placed = connection.prepare(include_str!("count_placed.sql")).await?;
        let ids: Vec<i64> = self.shards.iter().flat_map(|shard| shard.ids.iter().copied()).collect();
        let hosts: Vec<&str> = self.shards.iter().map(|shard| shard.node.host.as_str()).collect();
        let ports: Vec<i32> = self.shards.iter().map(|shard| shard.node.port.into()).collect();
        let row = connection.client().query_one(&placed, &[&ids, &hosts, &ports]).await?;
        Ok(usize::try_from(row.get::<_, i64>(0)) == Ok(self.shards.len()))
    }

    /// The number of a bucket's shard.
    pub fn of_bucket(&self, bucket: Bucket) -> Option<usize> {
        *self.of_bucket.get(usize::try_from(bucket.get()).ok()?)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_goes_to_the_tables_of_a_shard() {
        let shard = Shard {
            node: Node { host: "a".into(), port: 1 },
            ids: vec![7],
            names: Arc::new(vec![
                ("incident_ids", "incident_ids_7".into()),
                ("count_changes", "count_changes_8".into()),
            ]),
            texts: Mutex::default(),
        };
        assert_eq!(
            shard.statement("INSERT INTO incident_ids AS t SELECT nextval('incident_number') * 1024 FROM unnest($1, $12) AS incident_ids_x"),
            "INSERT INTO incident_ids_7 AS t SELECT ($13::bigint[])[row_number() OVER ()] * 1024 FROM unnest($1, $12) AS incident_ids_x"
        );
        assert_eq!(shard.statement("count_changes(nextval('count_change_number'))"), "count_changes_8($1::bigint)");
    }
}
