//! Asks the vector store whose vectors are searched; the first service that comes says that it is its own.

use crate::db::pool::Pool;
use crate::db::timed::timed;
use crate::embedder::Spaces;
use crate::metrics::Metrics;
use std::time::Duration;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// Says whether the store has answered.
pub(super) async fn read_active(pool: &Pool, metrics: &Metrics, spaces: &Spaces) -> bool {
    let Ok(mut connection) = pool.get().await else { return false };
    let configured = spaces.configured().id.clone();
    let active = timed(metrics, "similarity.read_active", async {
        let read = connection.prepare(include_str!("read_active.sql")).await?;
        if let Some(row) = connection.client.query_opt(&read, &[]).await? {
            return Ok(row.get::<_, String>("embedder"));
        }
        let set = connection.prepare(include_str!("set_active.sql")).await?;
        connection.client.execute(&set, &[&vec![0], &vec![configured.as_str()]]).await?;
        let row = connection.client.query_one(&read, &[]).await?;
        Ok(row.get("embedder"))
    })
    .await;
    // Where the store does not answer, or is not migrated yet, others say so.
    let Ok(active) = active else { return false };
    if spaces.set_active(&active) {
        if active == configured {
            tracing::info!(embedder = active, "searches by the configured embedder");
        } else {
            tracing::warn!(
                embedder = active,
                configured,
                "the vectors are another embedder's: run data-storage reindex"
            );
        }
    }
    true
}
