//! Folds the changes of incidents into the blocks of their hours, in the background, one process at a time.

use super::block::HourCounts;
use super::changes::changes_of;
use super::marks::{self, Generations};
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::bucket::BUCKETS;
use crate::domain::facts::COUNTED;
use crate::domain::totals::{MINUTES_OF_AN_HOUR, Values, key};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// Transactions whose changes one fold takes.
const BATCH: i64 = 2_000;
/// How long a fold may take, and the clearing away behind it.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

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
    for row in &rows {
        changes_of(row, |change| hours.add(change.minute, change.values, change.delta.into()));
    }
    let ids = ids_of(tx, &hours.combinations).await?;
    let floor = match rows.len() < BATCH as usize {
        // Transactions that were not over then are above it.
        true => rows.iter().map(|row| row.get::<_, i64>("seen")).min().unwrap_or(last),
        false => last,
    };
    let blocks = hours.added_to(tx, &ids).await?;
    write_blocks(tx, &blocks).await?;
    let state = tx.prepare(include_str!("set_floor.sql")).await?;
    tx.client().execute(&state, &[&floor.to_string()]).await?;
    Ok(Some(rows.len()))
}

/// Changes by hour; a combination is its place among those that occur.
#[derive(Default)]
pub(super) struct Hours<'a> {
    combinations: Vec<Values<&'a str>>,
    places: HashMap<Values<&'a str>, usize>,
    changes: BTreeMap<i32, Vec<(u8, usize, i64)>>,
}

impl<'a> Hours<'a> {
    pub(super) fn add(&mut self, minute: i32, values: Values<&'a str>, delta: i64) {
        let place = *self.places.entry(values).or_insert_with(|| {
            self.combinations.push(values);
            self.combinations.len() - 1
        });
        let of_hour = u8::try_from(minute.rem_euclid(MINUTES_OF_AN_HOUR)).unwrap_or(0); // below 60
        self.changes.entry(minute.div_euclid(MINUTES_OF_AN_HOUR)).or_default().push((of_hour, place, delta));
    }

    pub(super) fn combinations(&self) -> &[Values<&'a str>] {
        &self.combinations
    }

    /// The blocks of these hours with the changes.
    pub(super) async fn added_to(&self, tx: &mut Transaction<'_>, ids: &[u32]) -> Result<Vec<(i32, Vec<u8>)>, Error> {
        let hours: Vec<i32> = self.changes.keys().copied().collect();
        let buckets: Vec<i32> = hours.iter().map(|hour| bucket_of(*hour)).collect();
        let read = tx.prepare(include_str!("find_blocks.sql")).await?;
        let rows = tx.client().query(&read, &[&buckets, &hours]).await?;
        let there: HashMap<i32, &[u8]> = rows.iter().map(|row| (row.get("hour"), row.get("entries"))).collect();
        let blocks = self.changes.iter().map(|(hour, changes)| {
            let mut counts = there.get(hour).map_or_else(HourCounts::default, |bytes| HourCounts::of(bytes));
            for (minute, place, delta) in changes {
                counts.add(*minute, ids[*place], *delta);
            }
            (*hour, counts.bytes())
        });
        Ok(blocks.collect())
    }
}

pub(super) fn bucket_of(hour: i32) -> i32 {
    i32::try_from(i64::from(hour).rem_euclid(BUCKETS)).unwrap_or(0) // below BUCKETS
}

/// Writes blocks of the next generation. Nobody else does so at the time.
pub(super) async fn write_blocks(tx: &mut Transaction<'_>, blocks: &[(i32, Vec<u8>)]) -> Result<(), Error> {
    let hours: Vec<i32> = blocks.iter().map(|(hour, _)| *hour).collect();
    let buckets: Vec<i32> = hours.iter().map(|hour| bucket_of(*hour)).collect();
    let entries: Vec<&[u8]> = blocks.iter().map(|(_, bytes)| &bytes[..]).collect();
    let write = tx.prepare(include_str!("write_blocks.sql")).await?;
    tx.client().execute(&write, &[&buckets, &hours, &entries]).await.map(|_| ())
}

/// The ids of combinations, in their order; those that are new get the next ones. Nobody else does so at the time.
pub(super) async fn ids_of(tx: &mut Transaction<'_>, combinations: &[Values<&str>]) -> Result<Vec<u32>, Error> {
    let (buckets, keys): (Vec<i32>, Vec<[u8; 16]>) = combinations
        .iter()
        .map(|values| {
            let (bucket, key) = key(values);
            (bucket.get(), key)
        })
        .unzip();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let find = tx.prepare(include_str!("find_combinations.sql")).await?;
    let rows = tx.client().query(&find, &[&buckets, &keys]).await?;
    let mut ids: Vec<Option<i32>> = vec![None; combinations.len()];
    for row in &rows {
        let place = usize::try_from(row.get::<_, i64>("place") - 1).unwrap_or(usize::MAX);
        if let Some(id) = ids.get_mut(place) {
            *id = Some(row.get("id"));
        }
    }
    let new: Vec<usize> = (0..ids.len()).filter(|place| ids[*place].is_none()).collect();
    if !new.is_empty() {
        let last = tx.prepare(include_str!("last_combination.sql")).await?;
        let last: i32 = tx.client().query_one(&last, &[]).await?.get(0);
        for (place, id) in new.iter().zip(last + 1..) {
            ids[*place] = Some(id);
        }
        insert_combinations(tx, combinations, &buckets, &keys, &ids, &new).await?;
    }
    Ok(ids.into_iter().map(|id| id.unwrap_or(0).unsigned_abs()).collect())
}

async fn insert_combinations(
    tx: &mut Transaction<'_>,
    combinations: &[Values<&str>],
    buckets: &[i32],
    keys: &[&[u8]],
    ids: &[Option<i32>],
    new: &[usize],
) -> Result<(), Error> {
    let buckets: Vec<i32> = new.iter().map(|place| buckets[*place]).collect();
    let keys: Vec<&[u8]> = new.iter().map(|place| keys[*place]).collect();
    let ids: Vec<Option<i32>> = new.iter().map(|place| ids[*place]).collect();
    let columns: [Vec<Option<&str>>; COUNTED] =
        std::array::from_fn(|fact| new.iter().map(|place| combinations[*place][fact]).collect());
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&buckets, &keys, &ids];
    params.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
    let insert = tx.prepare(sql!("insert_combinations.sql")).await?;
    tx.client().execute(&insert, &params).await.map(|_| ())
}

/// Whether the incidents from before the counts are counted too.
pub(super) async fn is_whole(tx: &mut Transaction<'_>) -> Result<bool, Error> {
    let rows: Vec<Row> =
        tx.client().query("-- totals.is_whole\nSELECT is_whole FROM count_state WHERE bucket = 0", &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
