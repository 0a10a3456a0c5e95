use super::LIMIT;
use crate::db::template::sql;
use crate::domain::bucket::Bucket;
use crate::domain::copied_facts::CopiedFacts;
use crate::domain::facts::copied;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use std::collections::BTreeSet;

/// Asks for the facts of incidents that the vector store keeps a copy of. They are read where they are written: a replica may lag.
#[derive(Message)]
#[rtype(result = "Result<Vec<CopiedFacts>, ActorError>")]
pub struct ReadFacts {
    /// Remediation request ids.
    pub requests: BTreeSet<String>,
}

impl Handler<ReadFacts> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<CopiedFacts>, ActorError>>;

    fn handle(&mut self, message: ReadFacts, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let requests: Vec<String> = message.requests.into_iter().collect();
            let buckets: Vec<i32> = requests.iter().map(|request| Bucket::of(request).get()).collect();
            let read = connection.autocommit("outbox.read_facts", LIMIT, async |tx| {
                let statement = tx.prepare(sql!("read_facts.sql")).await?;
                tx.client().query(&statement, &[&buckets, &requests]).await
            });
            let facts = read.await?.into_iter().map(|row| CopiedFacts {
                bucket: row.get("bucket"),
                incident_id: row.get("id"),
                correlation_id: row.get("correlation_id"),
                action_timestamp: row.get("action_timestamp"),
                revision: row.get("revision"),
                values: copied().map(|fact| row.get(fact.column)).collect(),
            });
            Ok(facts.collect())
        })
    }
}
