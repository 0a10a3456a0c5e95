//! A body whose times lie outside the accepted window is answered only if it repeats an audit that is there.

use super::Written;
use crate::db::pool::Pool;
use crate::db::timed::timed;
use crate::domain::audit::{Envelope, Recognition};
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::metrics::Metrics;

pub(super) async fn find_replay(
    pool: &Pool,
    metrics: &Metrics,
    envelope: &Envelope,
) -> Result<Option<Written>, ActorError> {
    let mut connection = pool.get().await?;
    let id = timed(metrics, "pg_writer.find_replay", async {
        match envelope.recognition {
            Recognition::Key(key) | Recognition::Window(key) => {
                let statement = connection.prepare(include_str!("find_replay.sql")).await?;
                let bucket = Bucket::of_digest(&key).get();
                let row = connection.client.query_opt(&statement, &[&bucket, &&key[..]]).await?;
                Ok(row.and_then(|row| {
                    let same = row.get::<_, &[u8]>("content") == envelope.content;
                    row.get::<_, &str>("audit_id").parse().ok().filter(|_| same)
                }))
            }
            Recognition::Id => {
                let statement = connection.prepare(include_str!("find_audit.sql")).await?;
                let id = envelope.id.to_string();
                let row = connection.client.query_one(&statement, &[&envelope.bucket().get(), &id]).await?;
                Ok(row.get::<_, bool>("found").then_some(envelope.id))
            }
        }
    })
    .await?;
    Ok(id.map(|id| Written { id, replayed: true }))
}
