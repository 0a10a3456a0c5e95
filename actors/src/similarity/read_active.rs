//! Asks the vector store whose vectors are searched; the first service that comes says that it is its own.

use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::embedder::Spaces;
use std::time::Duration;
use tokio_postgres::Error;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(2);

const LIMIT: Duration = Duration::from_secs(10);

/// Says whether the store has answered.
pub(super) async fn read_active(pool: &Pool, spaces: &Spaces) -> bool {
    let configured = spaces.configured().id.clone();
    // Where the store does not answer, or is not migrated yet, its probe says so.
    let Ok(active) = ask(pool, &configured).await else { return false };
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

async fn ask(pool: &Pool, configured: &str) -> Result<String, DatabaseError> {
    let mut connection = pool.get().await?;
    connection.autocommit("similarity.read_active", LIMIT, async |tx| read_or_set(tx, configured).await).await
}

async fn read_or_set(tx: &mut Transaction<'_>, configured: &str) -> Result<String, Error> {
    let read = tx.prepare(include_str!("read_active.sql")).await?;
    if let Some(row) = tx.client().query_opt(&read, &[]).await? {
        return Ok(row.get("embedder"));
    }
    let set = tx.prepare(include_str!("set_active.sql")).await?;
    tx.client().execute(&set, &[&vec![0], &vec![configured]]).await?;
    Ok(tx.client().query_one(&read, &[]).await?.get("embedder"))
}
