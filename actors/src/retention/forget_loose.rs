use super::LIMIT;
use crate::db::transaction::Transaction;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use chrono::{DateTime, Utc};

/// Deletes what is older than `kept_from` and belongs to no incident: idempotency keys, and steps of workflows that no incident is tied
/// to. Says whether there may be more.
#[derive(Message)]
#[rtype(result = "Result<bool, ActorError>")]
pub struct ForgetLoose {
    pub kept_from: DateTime<Utc>,
}

/// Rows of one statement.
const BATCH: i64 = 5000;

impl Handler<ForgetLoose> for PgWriterActor {
    type Result = ResponseFuture<Result<bool, ActorError>>;

    fn handle(&mut self, message: ForgetLoose, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let forget = async |tx: &mut Transaction<'_>| {
                let list_loose_steps = tx.prepare(include_str!("list_loose_steps.sql")).await?;
                let forget_loose_ties = tx.prepare(include_str!("forget_loose_ties.sql")).await?;
                let client = tx.client();
                let keys = client.execute(include_str!("forget_keys.sql"), &[&message.kept_from, &BATCH]).await?;
                let steps = client.query(&list_loose_steps, &[&message.kept_from, &BATCH]).await?;
                let buckets: Vec<i32> = steps.iter().map(|row| row.get("bucket")).collect();
                let ids: Vec<&str> = steps.iter().map(|row| row.get("id")).collect();
                let workflows: Vec<&str> = steps.iter().map(|row| row.get("workflow_id")).collect();
                client.execute(include_str!("forget_loose_steps.sql"), &[&buckets, &ids]).await?;
                client.execute(&forget_loose_ties, &[&workflows]).await?;
                Ok(keys.max(steps.len() as u64) >= BATCH.unsigned_abs()) // usize fits into 64 bits
            };
            Ok(connection.autocommit("retention.forget_loose", LIMIT, forget).await?)
        })
    }
}
