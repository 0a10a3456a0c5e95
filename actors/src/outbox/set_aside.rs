use super::LIMIT;
use super::clear::columns;
use crate::domain::audit_id::AuditId;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;

/// Counts a try of audits whose text the embedder refused. After the last try a row is not claimed any more.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct SetAside {
    pub ids: Vec<AuditId>,
}

impl Handler<SetAside> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, message: SetAside, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let (buckets, ids) = columns(message.ids);
            let counted = connection.autocommit("outbox.set_aside", LIMIT, async |tx| {
                let statement = tx.prepare(include_str!("set_aside.sql")).await?;
                tx.client().execute(&statement, &[&buckets, &ids]).await
            });
            counted.await?;
            Ok(())
        })
    }
}
