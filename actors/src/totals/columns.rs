//! Totals as columns, as `unnest` takes them.

use crate::domain::facts::{COUNTED, counted};
use crate::domain::totals::{Total, Values};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The counted facts of a row, under the names of their columns.
pub(crate) fn values(row: &Row) -> Values<&str> {
    let mut values = Values::default();
    for (value, fact) in values.iter_mut().zip(counted()) {
        *value = row.get(fact.column);
    }
    values
}

pub(crate) struct Columns<'a> {
    pub buckets: Vec<i32>,
    pub keys: Vec<&'a [u8]>,
    sets: Vec<i32>,
    values: [Vec<Option<&'a str>>; COUNTED],
    totals: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub fn of(totals: &'a [Total<'a>]) -> Self {
        Columns {
            buckets: totals.iter().map(|total| total.bucket.get()).collect(),
            keys: totals.iter().map(|total| &total.key[..]).collect(),
            sets: totals.iter().map(|total| total.set.bits()).collect(),
            values: std::array::from_fn(|n| totals.iter().map(|total| total.values[n]).collect()),
            totals: totals.iter().map(|total| total.total).collect(),
        }
    }

    /// For `add_totals.sql`.
    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.with_values(vec![&self.buckets, &self.keys, &self.sets, &self.totals])
    }

    /// For `add_deltas.sql`.
    pub fn delta_params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.with_values(vec![&self.buckets, &self.totals])
    }

    fn with_values<'s>(&'s self, mut params: Vec<&'s (dyn ToSql + Sync)>) -> Vec<&'s (dyn ToSql + Sync)> {
        params.extend(self.values.iter().map(|column| column as &(dyn ToSql + Sync)));
        params
    }
}
