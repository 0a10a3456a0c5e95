//! Changes by hour, and the blocks that they are added to.

use super::block::HourCounts;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::bucket::BUCKETS;
use crate::domain::facts::COUNTED;
use crate::domain::totals::{MINUTES_OF_AN_HOUR, Values, key};
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Changes by hour; a combination is its place among those that occur.
#[derive(Default)]
pub(super) struct Hours<'a> {
    combinations: Vec<Values<&'a str>>,
    places: HashMap<Values<&'a str>, usize>,
    changes: BTreeMap<i32, Vec<(u8, usize, i64)>>,
}

impl<'a> Hours<'a> {
    pub(super) fn add(&mut self, minute: i32, values: Values<&'a str>, delta: i64) {
        // A change of what is not counted.
        if delta == 0 {
            return;
        }
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
