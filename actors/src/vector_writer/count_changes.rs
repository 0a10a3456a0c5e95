//! Counts how often the patterns of each bucket have changed, for services that hold them in memory.

use crate::db::transaction::Transaction;
use std::collections::BTreeSet;
use tokio_postgres::{Error, Row};

/// Counts a change of the buckets and embedders of these rows, in the transaction that made it.
pub(crate) async fn count_changes(tx: &mut Transaction<'_>, changed: &[Row]) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare(include_str!("count_changes.sql")).await?;
    let changed: BTreeSet<(i32, &str)> = changed.iter().map(|row| (row.get("bucket"), row.get("embedder"))).collect();
    let (buckets, embedders): (Vec<i32>, Vec<&str>) = changed.into_iter().unzip();
    tx.client().execute(&statement, &[&buckets, &embedders]).await?;
    Ok(())
}
