//! Writes the attempts that ended before their request went on. That is rare: a flush notes the incidents, and their attempts follow in a
//! transaction of their own, before the audits are acknowledged. What a crash leaves undone is found by the note.

use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use futures_util::join;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Incidents of one turn.
const BATCH: i64 = 500;
const LIMIT: Duration = Duration::from_secs(10);

/// Incidents whose attempts are due, by bucket and request, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub buckets: Vec<i32>,
    pub requests: Vec<String>,
}

impl Due {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// # Errors
    /// PostgreSQL's; then they stay due.
    pub async fn write(&self, connection: &mut Connection) -> Result<(), DatabaseError> {
        connection.transaction("pg_writer.write_attempts", LIMIT, async |tx| self.write_in(tx).await).await
    }

    async fn write_in(&self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        let write = tx.prepare(sql!("write_attempts.sql")).await?;
        let clear = tx.prepare(include_str!("clear_attempts.sql")).await?;
        let (client, params): (_, [&(dyn ToSql + Sync); 2]) = (tx.client(), [&self.buckets, &self.requests]);
        // The note goes first, and locks the incidents: what is written behind it sees every audit that was committed before.
        tx.last(async {
            let (cleared, written) = join!(client.execute(&clear, &params), client.execute(&write, &params));
            cleared.and(written).map(|_| ())
        })
        .await
    }
}

/// Writes what is due and nobody wrote. Says whether nothing is left.
pub(super) async fn catch_up(pool: &Pool) -> bool {
    loop {
        match some(pool).await {
            Ok(0) => return true,
            Ok(_) => {}
            // Before the first migration there is nothing to write.
            Err(error) if error.fault == DatabaseFault::Schema => return false,
            Err(error) => {
                error.log("attempts not written; the next turn tries again");
                return false;
            }
        }
    }
}

async fn some(pool: &Pool) -> Result<usize, DatabaseError> {
    let mut connection = pool.get().await?;
    let list = async |tx: &mut Transaction<'_>| {
        let list = tx.prepare(include_str!("list_attempts_due.sql")).await?;
        tx.client().query(&list, &[&BATCH]).await
    };
    let rows = connection.autocommit("pg_writer.list_attempts_due", LIMIT, list).await?;
    let (buckets, requests): (Vec<i32>, Vec<String>) =
        rows.iter().map(|row| (row.get::<_, i32>("bucket"), row.get::<_, String>("correlation_id"))).unzip();
    let due = Due { buckets, requests };
    if !due.is_empty() {
        due.write(&mut connection).await?;
    }
    Ok(due.requests.len())
}
