//! Folds the changes of incidents into the blocks of their hours, in the background, one process at a time.

use super::changes::{changes_of, incidents_of};
use super::hours::{Hours, ids_of, write_blocks};
use super::marks::{self, Generations};
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use std::time::Duration;
use tokio_postgres::{Error, Row};

/// Transactions whose changes one fold takes.
const BATCH: i64 = 2_000;
/// Of how many folds it is known which incidents they are of. Who has not looked for longer reads all incidents again.
const FOLDS_KEPT: i64 = 300;
/// How long a fold may take, and the clearing away behind it.
const LIMIT: Duration = Duration::from_secs(10);

/// Folds until few changes are left, and clears away what the folds leave behind: who asks reads all of that table. Says whether
/// everything that was there is folded.
pub async fn fold_totals(pool: &Pool, generations: &Generations) -> bool {
    match fold_all(pool, generations).await {
        Ok(is_done) => is_done,
        // Before the first migration there is nothing to fold.
        Err(error) if error.fault == DatabaseFault::Schema => false,
        Err(error) => {
            error.log("totals not folded; the next fold tries again");
            false
        }
    }
}

async fn fold_all(pool: &Pool, generations: &Generations) -> Result<bool, DatabaseError> {
    let mut connection = pool.get().await?;
    if connection.is_distributed() {
        return marks::fold(&mut connection, generations).await;
    }
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
        // Without cutting the file off at its end, for which writers would have to wait.
        let vacuum = "-- totals.vacuum_changes\nVACUUM (TRUNCATE false) count_changes";
        connection
            .autocommit("totals.vacuum_changes", LIMIT, async |tx| tx.client().batch_execute(vacuum).await)
            .await?;
    }
    Ok(is_done)
}

/// One fold; of how many transactions it took the changes.
async fn fold(tx: &mut Transaction<'_>) -> Result<Option<usize>, Error> {
    if !tx.try_lock(Lock::Totals).await? {
        return Ok(None);
    }
    let take = tx.prepare(sql!("take_changes.sql")).await?;
    let rows = tx.client().query(&take, &[&BATCH]).await?;
    let Some(last) = rows.iter().map(|row| row.get::<_, i64>("xid")).max() else { return Ok(Some(0)) };
    let mut hours = Hours::default();
    let mut changed = Vec::new();
    for row in &rows {
        changed.extend(incidents_of(row));
        changes_of(row, |change| hours.add(change.minute, change.values, change.delta.into()));
    }
    let ids = ids_of(tx, hours.combinations()).await?;
    // Transactions that were not over then are above it, whether they are before the last one or behind it.
    let seen = rows.iter().map(|row| row.get::<_, i64>("seen")).min().unwrap_or(last);
    let floor = if rows.len() < BATCH as usize { seen } else { seen.min(last) };
    let blocks = hours.added_to(tx, &ids).await?;
    write_blocks(tx, &blocks).await?;
    note_folded(tx, changed).await?;
    let state = tx.prepare(include_str!("set_floor.sql")).await?;
    tx.client().execute(&state, &[&floor.to_string()]).await?;
    Ok(Some(rows.len()))
}

/// Notes whose changes this fold takes, for those who count attempts, and forgets those of folds long ago.
async fn note_folded(tx: &mut Transaction<'_>, mut changed: Vec<(i32, i64)>) -> Result<(), Error> {
    changed.sort_unstable();
    changed.dedup();
    let (minutes, ids): (Vec<i32>, Vec<i64>) = changed.into_iter().unzip();
    let note = tx.prepare(include_str!("note_folded.sql")).await?;
    let forget = tx.prepare(include_str!("forget_folded_incidents.sql")).await?;
    let client = tx.client();
    client.execute(&note, &[&minutes, &ids]).await?;
    client.execute(&forget, &[&FOLDS_KEPT]).await.map(|_| ())
}

/// Whether the incidents from before the counts are counted too.
pub(super) async fn is_whole(tx: &mut Transaction<'_>) -> Result<bool, Error> {
    let rows: Vec<Row> =
        tx.client().query("-- totals.is_whole\nSELECT is_whole FROM count_state WHERE bucket = 0", &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
