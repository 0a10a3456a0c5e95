//! A body whose times lie outside the accepted window is answered only if it repeats an audit that is there.

use super::Written;
use crate::db::pool::{Connection, Pool};
use crate::db::timed::timed;
use crate::domain::audit::{Envelope, Recognition};
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::metrics::Metrics;
use tokio_postgres::Error;

pub(super) async fn find_replay(
    pool: &Pool,
    metrics: &Metrics,
    envelope: &Envelope,
) -> Result<Option<Written>, ActorError> {
    let mut connection = pool.get().await?;
    let id = timed(metrics, "pg_writer.find_replay", async {
        connection.in_transaction = true;
        connection.client.batch_execute("BEGIN").await?;
        let id = find(&mut connection, envelope).await?;
        connection.client.batch_execute("COMMIT").await?;
        connection.in_transaction = false;
        Ok(id)
    })
    .await?;
    if connection.has_warned() {
        return Err(ActorError::Unavailable("the commit is not confirmed by the standby"));
    }
    Ok(id.map(|id| Written { id, replayed: true }))
}

async fn find(connection: &mut Connection, envelope: &Envelope) -> Result<Option<AuditId>, Error> {
    if let Recognition::Key(key) = envelope.recognition {
        let statement = connection.prepare(include_str!("find_replay.sql")).await?;
        let row = connection.client.query_opt(&statement, &[&Bucket::of_digest(&key).get(), &&key[..]]).await?;
        return Ok(row.and_then(|row| {
            let same = row.get::<_, &[u8]>("content") == envelope.content;
            row.get::<_, &str>("audit_id").parse().ok().filter(|_| same)
        }));
    }
    let id = envelope.id.to_string();
    for sql in [include_str!("find_audit.sql"), include_str!("find_workflow_audit.sql")] {
        let statement = connection.prepare(sql).await?;
        if connection.client.query_opt(&statement, &[&envelope.bucket().get(), &id]).await?.is_some() {
            return Ok(Some(envelope.id));
        }
    }
    Ok(None)
}
