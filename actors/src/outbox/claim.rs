use super::{CLAIM, LIMIT, MOST_ATTEMPTS};
use crate::db::transaction::Transaction;
use crate::domain::attributes::Attributes;
use crate::domain::audit_text::AuditText;
use crate::domain::embedding_job::EmbeddingJob;
use crate::domain::workload::workload;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio_postgres::{Error, Row};

/// Claims audits whose vector is missing and whose claim has run out; `limit` bounds how many come at once.
#[derive(Message)]
#[rtype(result = "Result<Vec<EmbeddingJob>, ActorError>")]
pub struct ClaimOutbox {
    pub limit: usize,
}

impl Handler<ClaimOutbox> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<EmbeddingJob>, ActorError>>;

    fn handle(&mut self, message: ClaimOutbox, _: &mut Self::Context) -> Self::Result {
        let (pool, now) = (self.pool(), self.now());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            // A transaction a bucket, so that each stays on one shard.
            let claimed = connection.autocommit("outbox.claim", LIMIT, async |tx| claim(tx, message.limit, now).await);
            Ok(claimed.await?)
        })
    }
}

async fn claim(tx: &mut Transaction<'_>, limit: usize, now: DateTime<Utc>) -> Result<Vec<EmbeddingJob>, Error> {
    let list = tx.prepare(include_str!("list_stale_buckets.sql")).await?;
    let claim = tx.prepare(include_str!("claim.sql")).await?;
    let until = now + CLAIM;
    let mut jobs = Vec::new();
    for bucket in tx.client().query(&list, &[&now, &MOST_ATTEMPTS]).await? {
        let bucket: i32 = bucket.get("bucket");
        let left = i64::try_from(limit - jobs.len()).unwrap_or(i64::MAX);
        let rows = tx.client().query(&claim, &[&bucket, &now, &until, &left, &MOST_ATTEMPTS]).await?;
        jobs.extend(rows.iter().filter_map(job));
        if jobs.len() >= limit {
            break;
        }
    }
    Ok(jobs)
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
        workload: row.get::<_, Option<&str>>("target_resource").map(workload),
        attributes: row
            .get::<_, Option<&str>>("attributes")
            .and_then(Attributes::of_text)
            .and_then(|kept| kept.texts()),
    };
    let remediation_request_id = remediation_request_id.unwrap_or_default();
    Some(EmbeddingJob { id, remediation_request_id, received_at: row.get("received_at"), text })
}
