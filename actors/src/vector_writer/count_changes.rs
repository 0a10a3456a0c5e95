//! Keeps up how often the patterns of each bucket have changed, for those who hold them in memory.

use crate::db::pool::Connection;
use std::collections::BTreeSet;
use tokio_postgres::{Error, Row};

/// Counts a change of the buckets and embedders of these rows, in the transaction that made it.
pub(super) async fn count_changes(connection: &mut Connection, changed: &[Row]) -> Result<(), Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let statement = connection.prepare(include_str!("count_changes.sql")).await?;
    let changed: BTreeSet<(i32, &str)> = changed.iter().map(|row| (row.get("bucket"), row.get("embedder"))).collect();
    let (buckets, embedders): (Vec<i32>, Vec<&str>) = changed.into_iter().unzip();
    connection.client.execute(&statement, &[&buckets, &embedders]).await?;
    Ok(())
}
