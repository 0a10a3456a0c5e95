//! Folds the deltas of incidents into the totals, in the background, one process at a time.

use crate::db::pool::{Connection, Pool};
use crate::db::sqlstate;
use crate::db::timed::timed;
use crate::domain::totals::{Total, Values, sum_up};
use crate::metrics::Metrics;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// The number is only a name.
pub(crate) const LOCK: i64 = 7_261_002;
/// Deltas of one fold.
const BATCH: i64 = 20_000;

/// Folds until few deltas are left, and clears away what the folds leave behind: the totals read all of that table.
pub(super) async fn fold_totals(pool: &Pool, metrics: &Metrics) {
    let Ok(mut connection) = pool.get().await else { return };
    let mut folded = 0;
    loop {
        // It is logged there; the next one tries again.
        let Ok(taken) = timed(metrics, "pg_writer.fold_totals", fold(&mut connection)).await else { return };
        folded += taken;
        if taken < BATCH as usize {
            break; // BATCH is small and positive
        }
    }
    if folded > 0
        && let Err(error) = connection.client.batch_execute("-- pg_writer.vacuum_deltas\nVACUUM incident_deltas").await
    {
        sqlstate::handle(&error, "pg_writer.vacuum_deltas");
    }
}

/// One fold; returns how many deltas it took.
async fn fold(connection: &mut Connection) -> Result<usize, Error> {
    let lock = connection.prepare("-- pg_writer.lock_totals\nSELECT pg_try_advisory_xact_lock($1)").await?;
    let take = connection.prepare(include_str!("take_deltas.sql")).await?;
    let add = connection.prepare(include_str!("add_totals.sql")).await?;
    let drop_empty = connection.prepare(include_str!("drop_empty_totals.sql")).await?;
    connection.in_transaction = true;
    let client = &connection.client;
    let result = async {
        client.batch_execute("BEGIN").await?;
        if !client.query_one(&lock, &[&LOCK]).await?.get::<_, bool>(0) {
            client.batch_execute("ROLLBACK").await?;
            return Ok(0);
        }
        let rows = client.query(&take, &[&BATCH]).await?;
        if rows.is_empty() {
            client.batch_execute("ROLLBACK").await?;
            return Ok(0);
        }
        let changes: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("delta"))).collect();
        let totals = sum_up(&changes, true);
        let columns = Columns::of(&totals);
        client.execute(&add, &columns.params()).await?;
        client.execute(&drop_empty, &[&columns.buckets, &columns.keys]).await?;
        client.batch_execute("COMMIT").await?;
        Ok(rows.len())
    }
    .await;
    let ended = result.is_ok() || client.batch_execute("ROLLBACK").await.is_ok();
    connection.in_transaction = !ended;
    result
}

/// The dimensions of a row, under the names of their columns.
pub(crate) fn values(row: &Row) -> Values<&str> {
    crate::domain::totals::DIMENSIONS.map(|name| row.get(name))
}

/// Totals as columns.
pub(crate) struct Columns<'a> {
    pub buckets: Vec<i32>,
    pub keys: Vec<&'a [u8]>,
    sets: Vec<i32>,
    values: [Vec<Option<&'a str>>; 5],
    totals: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub fn of(totals: &'a [Total<'a>]) -> Self {
        Columns {
            buckets: totals.iter().map(|total| total.bucket.get()).collect(),
            keys: totals.iter().map(|total| &total.key[..]).collect(),
            sets: totals.iter().map(|total| total.set.bits()).collect(),
            values: [0, 1, 2, 3, 4].map(|n| totals.iter().map(|total| total.values[n]).collect()),
            totals: totals.iter().map(|total| total.total).collect(),
        }
    }

    /// For `add_totals.sql`.
    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.buckets, &self.keys, &self.sets];
        params.extend(self.values.iter().map(|column| column as &(dyn ToSql + Sync)));
        params.push(&self.totals);
        params
    }

    /// For `totals_add_deltas.sql`.
    pub fn delta_params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.buckets];
        params.extend(self.values.iter().map(|column| column as &(dyn ToSql + Sync)));
        params.push(&self.totals);
        params
    }
}
