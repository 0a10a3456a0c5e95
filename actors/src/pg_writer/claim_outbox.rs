use super::flush::CLAIM;
use super::set_aside::MOST_ATTEMPTS;
use super::{EmbeddingJob, PgWriterActor};
use crate::db::timed::timed;
use crate::domain::audit_text::AuditText;
use crate::error::ActorError;
use actix::prelude::*;
use tokio_postgres::Row;

/// Claims audits whose vector is missing and whose claim has run out; `limit` bounds how many come at once.
#[derive(Message)]
#[rtype(result = "Result<Vec<EmbeddingJob>, ActorError>")]
pub struct ClaimOutbox {
    pub limit: usize,
}

impl Handler<ClaimOutbox> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<EmbeddingJob>, ActorError>>;

    fn handle(&mut self, message: ClaimOutbox, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics, now) = (self.pool(), self.metrics.clone(), (self.clock)());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            timed(&metrics, "pg_writer.claim_outbox", async {
                let list = connection.prepare(include_str!("list_stale_buckets.sql")).await?;
                let claim = connection.prepare(include_str!("claim_outbox.sql")).await?;
                let mut jobs = Vec::new();
                for bucket in connection.client.query(&list, &[&now, &MOST_ATTEMPTS]).await? {
                    let bucket: i32 = bucket.get("bucket");
                    let limit = i64::try_from(message.limit - jobs.len()).unwrap_or(i64::MAX);
                    let rows = connection
                        .client
                        .query(&claim, &[&bucket, &now, &(now + CLAIM), &limit, &MOST_ATTEMPTS])
                        .await?;
                    jobs.extend(rows.iter().filter_map(job));
                    if jobs.len() >= message.limit {
                        break;
                    }
                }
                Ok(jobs)
            })
            .await
        })
    }
}

/// Only this service writes ids there, so each can be read.
fn job(row: &Row) -> Option<EmbeddingJob> {
    let id = row.get::<_, &str>("audit_id").parse().ok()?;
    // Null where retention has taken the audit in the meantime.
    let remediation_request_id: Option<String> = row.get("remediation_request_id");
    let text = AuditText {
        alert_name: row.get("alert_name"),
        reasoning: row.get("reasoning"),
        error_message: row.get("error_message"),
    };
    let remediation_request_id = remediation_request_id.unwrap_or_default();
    Some(EmbeddingJob { id, remediation_request_id, received_at: row.get("received_at"), text })
}
