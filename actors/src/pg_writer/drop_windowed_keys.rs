//! Forgets the contents of untimed bodies once their window is over, so that their table does not grow for ever.

use crate::db::pool::Pool;
use crate::db::timed::timed;
use crate::metrics::Metrics;
use chrono::{DateTime, Utc};

/// Rows of one statement.
const BATCH: i64 = 5000;

pub(super) async fn drop_windowed_keys(pool: &Pool, metrics: &Metrics, until: DateTime<Utc>) {
    loop {
        let Ok(mut connection) = pool.get().await else { return };
        let dropped = timed(metrics, "pg_writer.drop_windowed_keys", async {
            let statement = connection.prepare(include_str!("drop_windowed_keys.sql")).await?;
            connection.client.execute(&statement, &[&until, &BATCH]).await
        });
        // An error is logged there; the next turn tries again.
        match dropped.await {
            Ok(dropped) if dropped >= BATCH.unsigned_abs() => {}
            _ => return,
        }
    }
}
