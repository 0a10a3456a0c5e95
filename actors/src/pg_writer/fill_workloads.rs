//! Gives incidents the workload of their target where they lack it: those that a program wrote which knew no workloads.

use crate::db::columns::column;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::transaction::Transaction;
use crate::domain::workload::workload;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Incidents of one statement.
const BATCH: i64 = 1000;
const LIMIT: Duration = Duration::from_secs(10);

/// Says whether none is left that lacks it.
pub(super) async fn fill_workloads(pool: &Pool) -> bool {
    loop {
        match fill_some(pool).await {
            Ok(filled) if filled >= BATCH as usize => {} // BATCH is small and positive
            Ok(_) => return true,
            // Before the first migration there is nothing to fill.
            Err(error) if error.fault == DatabaseFault::Schema => return false,
            Err(error) => {
                error.log("workloads not filled in; the next turn tries again");
                return false;
            }
        }
    }
}

async fn fill_some(pool: &Pool) -> Result<usize, DatabaseError> {
    let mut connection = pool.get().await?;
    let fill = async |tx: &mut Transaction<'_>| {
        let list = tx.prepare(include_str!("list_without_workload.sql")).await?;
        let rows = tx.client().query(&list, &[&BATCH]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let fill = tx.prepare(include_str!("fill_workloads.sql")).await?;
        let rows: Vec<&Row> = rows.iter().collect();
        let buckets = column(&rows, |row| row.get::<_, i32>("bucket"));
        let ids = column(&rows, |row| row.get::<_, i64>("id"));
        let times = column(&rows, |row| row.get::<_, DateTime<Utc>>("action_timestamp"));
        let workloads = column(&rows, |row| row.get::<_, Option<&str>>("target_resource").map(workload));
        let by = column(&rows, |row| row.get::<_, Option<Uuid>>("target_resource_by"));
        tx.client().execute(&fill, &[&buckets, &ids, &times, &workloads, &by]).await?;
        Ok(rows.len())
    };
    connection.autocommit("pg_writer.fill_workloads", LIMIT, fill).await
}
