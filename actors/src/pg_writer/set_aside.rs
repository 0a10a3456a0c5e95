use super::PgWriterActor;
use crate::db::timed::timed;
use crate::domain::audit_id::AuditId;
use crate::error::ActorError;
use actix::prelude::*;

/// Tries after which a text is not tried again: its row stays, is counted, and blocks nobody.
pub(super) const MOST_ATTEMPTS: i32 = 5;

/// Counts a failed try of audits that the embedder refused, while it took others.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct SetAside {
    pub ids: Vec<AuditId>,
}

impl Handler<SetAside> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, message: SetAside, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let buckets: Vec<i32> = message.ids.iter().map(|id| id.bucket().get()).collect();
            let ids: Vec<String> = message.ids.iter().map(ToString::to_string).collect();
            timed(&metrics, "pg_writer.set_aside", async {
                let statement = connection.prepare(include_str!("set_aside.sql")).await?;
                connection.client.execute(&statement, &[&buckets, &ids]).await
            })
            .await?;
            Ok(())
        })
    }
}
