use super::LIMIT;
use crate::domain::audit_id::AuditId;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;

/// Deletes the outbox rows of audits whose vectors are committed, or that have no feature to embed.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct ClearOutbox {
    pub ids: Vec<AuditId>,
}

impl Handler<ClearOutbox> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, message: ClearOutbox, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let (buckets, ids) = columns(message.ids);
            let cleared = connection.autocommit("outbox.clear", LIMIT, async |tx| {
                let statement = tx.prepare(include_str!("clear.sql")).await?;
                tx.client().execute(&statement, &[&buckets, &ids]).await
            });
            cleared.await?;
            Ok(())
        })
    }
}

/// The keys of rows, in the order in which they are locked.
pub(super) fn columns(mut ids: Vec<AuditId>) -> (Vec<i32>, Vec<String>) {
    ids.sort_unstable_by_key(|id| (id.bucket(), *id));
    ids.iter().map(|id| (id.bucket().get(), id.to_string())).unzip()
}
