//! Folds where the tables are distributed. A transaction of several nodes becomes visible on one after the other, so that a change could be seen
//! twice, or not at all, by who reads it and the blocks meanwhile. So a fold first marks changes, sees to it that all nodes show the marks, and
//! then writes the blocks on the coordinator. Marked changes are deleted when nobody reads with the blocks from before any more.

use super::changes::changes_of;
use super::hours::{Hours, ids_of, write_blocks};
use crate::db::connection::Connection;
use crate::db::locks::Lock;
use crate::db::sqlstate::DatabaseError;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio_postgres::Error;

/// How long a fold may take, and the clearing away behind it.
const LIMIT: Duration = Duration::from_secs(10);
/// How long marked changes stay: longer than a question takes.
const KEPT: Duration = Duration::from_secs(60);

/// The generations that this process has folded, and when: those that are long ago can be forgotten.
#[derive(Debug, Default)]
pub struct Generations(RefCell<VecDeque<(Instant, i64)>>);

impl Generations {
    fn add(&self, generation: i64) {
        self.0.borrow_mut().push_back((Instant::now(), generation));
    }

    /// The last one that is long ago.
    fn take_old(&self) -> Option<i64> {
        let mut all = self.0.borrow_mut();
        let old = all.iter().take_while(|(folded, _)| folded.elapsed() >= KEPT).count();
        all.drain(..old).next_back().map(|(_, generation)| generation)
    }
}

/// One fold; whether everything that was there is folded.
pub(super) async fn fold(connection: &mut Connection, generations: &Generations) -> Result<bool, DatabaseError> {
    let Some(marked) = connection.transaction("totals.mark", LIMIT, mark).await? else { return Ok(false) };
    if marked > 0 {
        match connection.transaction("totals.fold", LIMIT, fold_marked).await? {
            Some(generation) => generations.add(generation),
            None => return Ok(false),
        }
    }
    if let Some(generation) = generations.take_old() {
        connection
            .autocommit("totals.forget_folded", LIMIT, async |tx| {
                let forget = tx.prepare(include_str!("forget_folded.sql")).await?;
                tx.client().execute(&forget, &[&generation]).await
            })
            .await?;
        let vacuum = "-- totals.vacuum_changes\nVACUUM (TRUNCATE false) count_changes";
        connection
            .autocommit("totals.vacuum_changes", LIMIT, async |tx| tx.client().batch_execute(vacuum).await)
            .await?;
    }
    Ok(true)
}

/// The generation of the blocks, and how many changes have the mark of the next one.
async fn state(tx: &mut Transaction<'_>) -> Result<(i64, i64), Error> {
    let state = tx.prepare("-- totals.read_marks\nSELECT generation, marked FROM count_state WHERE bucket = 0").await?;
    let row = tx.client().query_one(&state, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

/// Marks what is not marked yet. Says how many changes bear the mark of the next generation, also from a fold that was interrupted; `None` where
/// another process is at it.
async fn mark(tx: &mut Transaction<'_>) -> Result<Option<i64>, Error> {
    if !tx.try_lock(Lock::Totals).await? {
        return Ok(None);
    }
    let (generation, before) = state(tx).await?;
    let mark = tx.prepare(include_str!("mark_changes.sql")).await?;
    let marked = i64::try_from(tx.client().execute(&mark, &[&(generation + 1)]).await?).unwrap_or(i64::MAX);
    if marked > 0 {
        let count = "-- totals.count_marks\nUPDATE count_state SET marked = marked + $1 WHERE bucket = 0";
        let count = tx.prepare(count).await?;
        tx.client().execute(&count, &[&marked]).await?;
    }
    Ok(Some(before + marked))
}

/// Writes the marked changes into the blocks, and says of which generation these are; `None` where a node does not show all marks yet, or
/// another process has done it.
async fn fold_marked(tx: &mut Transaction<'_>) -> Result<Option<i64>, Error> {
    if !tx.try_lock(Lock::Totals).await? {
        return Ok(None);
    }
    let (generation, marked) = state(tx).await?;
    let read = tx.prepare(sql!("read_marked.sql")).await?;
    let rows = tx.client().query(&read, &[&(generation + 1)]).await?;
    if marked == 0 || i64::try_from(rows.len()) != Ok(marked) {
        return Ok(None);
    }
    let mut hours = Hours::default();
    for row in &rows {
        changes_of(row, |change| hours.add(change.minute, change.values, change.delta.into()));
    }
    let ids = ids_of(tx, hours.combinations()).await?;
    let blocks = hours.added_to(tx, &ids).await?;
    write_blocks(tx, &blocks).await?;
    let end = "-- totals.end_fold\nUPDATE count_state SET generation = generation + 1, marked = 0 WHERE bucket = 0";
    let end = tx.prepare(end).await?;
    tx.client().execute(&end, &[]).await?;
    Ok(Some(generation + 1))
}
