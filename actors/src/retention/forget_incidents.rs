use super::{DroppedIncident, LIMIT};
use crate::db::locks::Lock;
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use tokio_postgres::Error;

/// Deletes what belongs to dropped incidents: their ids, audits, outbox rows, steps and ties. Answers `false` where another process is at
/// it.
#[derive(Message)]
#[rtype(result = "Result<bool, ActorError>")]
pub struct ForgetIncidents {
    pub incidents: Vec<DroppedIncident>,
    pub kept_from: DateTime<Utc>,
}

impl Handler<ForgetIncidents> for PgWriterActor {
    type Result = ResponseFuture<Result<bool, ActorError>>;

    fn handle(&mut self, message: ForgetIncidents, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let forget = async |tx: &mut Transaction<'_>| forget(tx, &message).await;
            Ok(connection.transaction("retention.forget_incidents", LIMIT, forget).await?)
        })
    }
}

async fn forget(tx: &mut Transaction<'_>, message: &ForgetIncidents) -> Result<bool, Error> {
    if !tx.try_lock(Lock::Retention).await? {
        return Ok(false);
    }
    let client = tx.client();
    let (reopened, given): (Vec<&DroppedIncident>, Vec<&DroppedIncident>) =
        message.incidents.iter().partition(|incident| incident.correlation_id.is_none());
    let (buckets, ids): (Vec<i32>, Vec<i64>) = reopened.iter().map(|incident| (incident.bucket, incident.id)).unzip();
    client.execute(include_str!("forget_reopened.sql"), &[&buckets, &ids]).await?;

    let buckets: Vec<i32> = given.iter().map(|incident| incident.bucket).collect();
    let requests: Vec<Option<&str>> = given.iter().map(|incident| incident.correlation_id.as_deref()).collect();
    let ids: Vec<i64> = given.iter().map(|incident| incident.id).collect();
    // First the ids, and then only what belongs to those that were still there: another incident may have taken the place of one that was
    // listed, and have an audit of it that was posted again.
    let gone_rows = client.query(include_str!("forget_ids.sql"), &[&buckets, &requests, &ids]).await?;
    let buckets: Vec<i32> = gone_rows.iter().map(|row| row.get("bucket")).collect();
    let requests: Vec<&str> = gone_rows.iter().map(|row| row.get("correlation_id")).collect();
    let gone: HashSet<&str> = requests.iter().copied().collect();
    let (audit_buckets, audits): (Vec<i32>, Vec<&str>) = given
        .iter()
        .filter(|incident| incident.correlation_id.as_deref().is_some_and(|request| gone.contains(request)))
        .flat_map(|incident| incident.audit_ids.iter().map(|id| (incident.bucket, id.as_str())))
        .unzip();
    let incidents: Vec<i64> = gone_rows.iter().map(|row| row.get("id")).collect();
    client.execute(include_str!("forget_attempts.sql"), &[&buckets, &incidents]).await?;
    client.execute(include_str!("../outbox/clear.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_audits.sql"), &[&audit_buckets, &audits]).await?;
    // Of workflows that no other incident is tied to.
    let tied = client.query(include_str!("list_ties.sql"), &[&buckets, &requests]).await?;
    let tied: Vec<&str> = tied.iter().map(|row| row.get("workflow_id")).collect();
    let others = client.query(include_str!("list_other_ties.sql"), &[&tied, &requests]).await?;
    let others: HashSet<&str> = others.iter().map(|row| row.get("workflow_id")).collect();
    let workflows: Vec<&str> = tied.into_iter().filter(|workflow| !others.contains(workflow)).collect();
    let of_workflows: Vec<i32> = workflows.iter().map(|workflow| Bucket::of(workflow).get()).collect();
    client.execute(include_str!("forget_steps.sql"), &[&of_workflows, &workflows, &message.kept_from]).await?;
    client.execute(include_str!("forget_ties.sql"), &[&buckets, &requests]).await?;
    Ok(true)
}
