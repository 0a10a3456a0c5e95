//! What transactions changed, as `count_changes` has it: a row of lists for each.

use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::facts::{COUNTED, counted};
use crate::domain::totals::Values;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// By how many the incidents of a minute and a combination have become more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub minute: i32,
    pub values: Values<&'a str>,
    pub delta: i32,
}

/// The counted facts of a row, under the names of their columns.
pub(crate) fn values(row: &Row) -> Values<&str> {
    let mut values = Values::default();
    for (value, fact) in values.iter_mut().zip(counted()) {
        *value = row.get(fact.column);
    }
    values
}

/// The changes of one transaction.
pub(super) fn changes_of<'a>(row: &'a Row, mut take: impl FnMut(Change<'a>)) {
    let (minutes, deltas): (Vec<i32>, Vec<i32>) = (row.get("minutes"), row.get("deltas"));
    let mut columns: [Vec<Option<&'a str>>; COUNTED] = Default::default();
    for (column, fact) in columns.iter_mut().zip(counted()) {
        *column = row.get(fact.column);
    }
    for (at, (minute, delta)) in minutes.into_iter().zip(deltas).enumerate() {
        let values = std::array::from_fn(|fact| columns[fact].get(at).copied().flatten());
        take(Change { minute, values, delta });
    }
}

/// The incidents that one transaction changed, each with the minute of its time. The id is 0 where all of that minute may be meant.
pub(super) fn incidents_of(row: &Row) -> impl Iterator<Item = (i32, i64)> {
    let (minutes, ids): (Vec<i32>, Option<Vec<i64>>) = (row.get("minutes"), row.get("ids"));
    minutes.into_iter().enumerate().map(move |(at, minute)| {
        let id = ids.as_ref().and_then(|ids| ids.get(at).copied());
        (minute, id.unwrap_or(0))
    })
}

/// Notes changes in the transaction that changes the incidents, in the bucket of one of them. Nothing is noted of none.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn note_changes(tx: &mut Transaction<'_>, bucket: i32, changes: &[Change<'_>]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare(sql!("note_changes.sql")).await?;
    let minutes: Vec<i32> = changes.iter().map(|change| change.minute).collect();
    let deltas: Vec<i32> = changes.iter().map(|change| change.delta).collect();
    let columns: [Vec<Option<&str>>; COUNTED] =
        std::array::from_fn(|fact| changes.iter().map(|change| change.values[fact]).collect());
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&bucket, &minutes, &deltas];
    params.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
    tx.client().execute(&statement, &params).await.map(|_| ())
}
