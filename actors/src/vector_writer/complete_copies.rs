//! Completes copies of facts from before some of them were copied.

use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::domain::copied_facts::CopiedFacts;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// Copies of one turn.
const BATCH: i64 = 500;
const LIMIT: Duration = Duration::from_secs(10);

/// Some copies that lack facts.
pub struct Incomplete(Vec<(i32, i64, String)>);

impl Incomplete {
    /// # Errors
    /// PostgreSQL's.
    pub async fn list(pool: &Pool) -> Result<Self, DatabaseError> {
        let mut connection = pool.get().await?;
        let list = async |tx: &mut Transaction<'_>| {
            let statement = tx.prepare(include_str!("list_incomplete.sql")).await?;
            tx.client().query(&statement, &[&BATCH]).await
        };
        let rows = connection.autocommit("vector_writer.list_incomplete", LIMIT, list).await?;
        let copy = |row: &tokio_postgres::Row| (row.get("bucket"), row.get("incident_id"), row.get("correlation_id"));
        Ok(Incomplete(rows.iter().map(copy).collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn requests(&self) -> BTreeSet<String> {
        self.0.iter().map(|(_, _, request)| request.clone()).collect()
    }

    /// Of an incident that is there no more, or has another id now, nothing can be completed: its copy is marked as it is.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn mark_gone(&self, pool: &Pool, there: &[CopiedFacts]) -> Result<(), DatabaseError> {
        let there: HashSet<i64> = there.iter().map(|facts| facts.incident_id).collect();
        let gone = self.0.iter().filter(|(_, id, _)| !there.contains(id));
        let (buckets, ids): (Vec<i32>, Vec<i64>) = gone.map(|(bucket, id, _)| (*bucket, *id)).unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let mut connection = pool.get().await?;
        let mark = async |tx: &mut Transaction<'_>| {
            let statement = tx.prepare(include_str!("mark_complete.sql")).await?;
            tx.client().execute(&statement, &[&buckets, &ids]).await
        };
        connection.autocommit("vector_writer.mark_complete", LIMIT, mark).await.map(|_| ())
    }
}
