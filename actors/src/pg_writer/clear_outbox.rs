use super::PgWriterActor;
use crate::db::timed::timed;
use crate::domain::audit_id::AuditId;
use crate::error::ActorError;
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
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let mut ids = message.ids;
            ids.sort_unstable_by_key(|id| (id.bucket(), *id));
            let buckets: Vec<i32> = ids.iter().map(|id| id.bucket().get()).collect();
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            timed(&metrics, "pg_writer.clear_outbox", async {
                let statement = connection.prepare(include_str!("clear_outbox.sql")).await?;
                connection.client.execute(&statement, &[&buckets, &ids]).await
            })
            .await?;
            Ok(())
        })
    }
}
