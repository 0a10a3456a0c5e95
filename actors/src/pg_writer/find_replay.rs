//! A body whose times lie outside the accepted window is answered only if it repeats an audit that is there.

use super::Written;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::domain::audit::{Envelope, Recognition};
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use std::time::Duration;
use tokio_postgres::Error;

/// Looks the audit up, in a transaction whose COMMIT is as durable as the first one's.
pub(super) async fn find_replay(
    pool: &Pool,
    envelope: &Envelope,
    limit: Duration,
) -> Result<Option<Written>, DatabaseError> {
    let mut connection = pool.get().await?;
    let find = async |tx: &mut Transaction<'_>| find(tx, envelope).await;
    let id = connection.transaction("pg_writer.find_replay", limit, find).await?;
    Ok(id.map(|id| Written { id, replayed: true }))
}

async fn find(tx: &mut Transaction<'_>, envelope: &Envelope) -> Result<Option<AuditId>, Error> {
    if let Recognition::Key(key) = envelope.recognition {
        let statement = tx.prepare(include_str!("find_replay.sql")).await?;
        let row = tx.client().query_opt(&statement, &[&Bucket::of_digest(&key).get(), &&key[..]]).await?;
        return Ok(row.and_then(|row| {
            let same = row.get::<_, &[u8]>("content") == envelope.content;
            row.get::<_, &str>("audit_id").parse().ok().filter(|_| same)
        }));
    }
    let id = envelope.id.to_string();
    for sql in [include_str!("find_audit.sql"), include_str!("find_workflow_audit.sql")] {
        let statement = tx.prepare(sql).await?;
        if tx.client().query_opt(&statement, &[&envelope.bucket().get(), &id]).await?.is_some() {
            return Ok(Some(envelope.id));
        }
    }
    Ok(None)
}
