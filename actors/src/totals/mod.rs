//! Exact totals of incidents (`domain/totals.rs`): deltas are folded into them in the background; a comparison with the incidents shows
//! whether they are exact, and a repair mends them.

mod columns;
mod compare;
mod fold;

pub(crate) use columns::{Columns, values};
pub use compare::{Deviation, compare, repair};
pub use fold::fold_totals;

use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::totals::{DimensionSet, Total, Values, sum_up};
use tokio_postgres::Error;

/// Appends deltas, by all counted facts, in the transaction that changes the incidents.
pub(crate) async fn add_deltas(tx: &mut Transaction<'_>, changes: &[(Values<&str>, i64)]) -> Result<(), Error> {
    let sums: Vec<Total<'_>> = sum_up(changes, true).into_iter().filter(|sum| sum.set == DimensionSet::ALL).collect();
    if sums.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare(sql!("add_deltas.sql")).await?;
    tx.client().execute(&statement, &Columns::of(&sums).delta_params()).await?;
    Ok(())
}
