//! Forgets the contents of untimed bodies once their window is over, so that their table does not grow for ever.

use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::transaction::Transaction;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Rows of one statement.
const BATCH: i64 = 5000;
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn drop_windowed_keys(pool: &Pool, until: DateTime<Utc>) {
    loop {
        match drop_some(pool, until).await {
            Ok(dropped) if dropped >= BATCH.unsigned_abs() => {}
            Ok(_) => return,
            // Before the first migration there is nothing to forget.
            Err(error) if error.fault == DatabaseFault::Schema => return,
            Err(error) => return error.log("contents whose window is over not forgotten; the next turn tries again"),
        }
    }
}

async fn drop_some(pool: &Pool, until: DateTime<Utc>) -> Result<u64, DatabaseError> {
    let mut connection = pool.get().await?;
    let drop = async |tx: &mut Transaction<'_>| {
        let statement = tx.prepare(include_str!("drop_windowed_keys.sql")).await?;
        tx.client().execute(&statement, &[&until, &BATCH]).await
    };
    connection.autocommit("pg_writer.drop_windowed_keys", LIMIT, drop).await
}
