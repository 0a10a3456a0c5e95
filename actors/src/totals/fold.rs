//! Folds the deltas of incidents into the totals, in the background, one process at a time.

use super::{Columns, values};
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::totals::{Values, sum_up};
use std::time::Duration;
use tokio_postgres::Error;

/// Deltas of one fold.
const BATCH: i64 = 20_000;
/// How long a fold may take, and the clearing away behind it.
const LIMIT: Duration = Duration::from_secs(10);

/// Folds until few deltas are left, and clears away what the folds leave behind: a total reads all of that table. Says whether everything
/// that was there is folded.
pub async fn fold_totals(pool: &Pool) -> bool {
    match fold_all(pool).await {
        Ok(is_done) => is_done,
        // Before the first migration there is nothing to fold.
        Err(error) if error.fault == DatabaseFault::Schema => false,
        Err(error) => {
            error.log("totals not folded; the next fold tries again");
            false
        }
    }
}

async fn fold_all(pool: &Pool) -> Result<bool, DatabaseError> {
    let mut connection = pool.get().await?;
    let mut folded = 0;
    let is_done = loop {
        match connection.transaction("totals.fold", LIMIT, fold).await? {
            // Another process is at it.
            None => break false,
            Some(taken) => {
                folded += taken;
                if taken < BATCH as usize {
                    break true; // BATCH is small and positive
                }
            }
        }
    };
    if folded > 0 {
        let vacuum = "-- totals.vacuum_deltas\nVACUUM incident_deltas";
        connection
            .autocommit("totals.vacuum_deltas", LIMIT, async |tx| tx.client().batch_execute(vacuum).await)
            .await?;
    }
    Ok(is_done)
}

/// One fold; how many deltas it took.
async fn fold(tx: &mut Transaction<'_>) -> Result<Option<usize>, Error> {
    if !tx.try_lock(Lock::Totals).await? {
        return Ok(None);
    }
    let take = tx.prepare(sql!("take_deltas.sql")).await?;
    let rows = tx.client().query(&take, &[&BATCH]).await?;
    if rows.is_empty() {
        return Ok(Some(0));
    }
    let add = tx.prepare(sql!("add_totals.sql")).await?;
    let drop_empty = tx.prepare(include_str!("drop_empty.sql")).await?;
    let changes: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("delta"))).collect();
    let totals = sum_up(&changes, true);
    let columns = Columns::of(&totals);
    let client = tx.client();
    client.execute(&add, &columns.params()).await?;
    client.execute(&drop_empty, &[&columns.buckets, &columns.keys]).await?;
    Ok(Some(rows.len()))
}
