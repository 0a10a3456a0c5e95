use super::drop_months::LOCK;
use super::{DroppedIncident, PgWriterActor};
use crate::db::pool::Connection;
use crate::db::timed::timed_within;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_postgres::Error;

/// Deletes what belongs to dropped incidents: their ids, audits, outbox rows, steps and ties, and keys that are as old. Answers `false`
/// where another process is at it.
#[derive(Message)]
#[rtype(result = "Result<bool, ActorError>")]
pub struct ForgetIncidents {
    pub incidents: Vec<DroppedIncident>,
    pub kept_from: DateTime<Utc>,
}

/// A month may have many incidents, and a batch many audits.
const LIMIT: Duration = Duration::from_secs(55);

impl Handler<ForgetIncidents> for PgWriterActor {
    type Result = ResponseFuture<Result<bool, ActorError>>;

    fn handle(&mut self, message: ForgetIncidents, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            timed_within(LIMIT, &metrics, "pg_writer.forget_incidents", async {
                let result = forget(&mut connection, &message).await;
                connection.or_undone(result).await
            })
            .await
        })
    }
}

async fn forget(connection: &mut Connection, message: &ForgetIncidents) -> Result<bool, Error> {
    let given: Vec<&DroppedIncident> = message.incidents.iter().collect();
    let buckets: Vec<i32> = given.iter().map(|incident| incident.bucket).collect();
    let requests: Vec<&str> = given.iter().map(|incident| incident.correlation_id.as_str()).collect();
    let ids: Vec<i64> = given.iter().map(|incident| incident.id).collect();
    let (mut audit_buckets, mut audits) = (Vec::new(), Vec::new());
    for incident in given {
        for id in &incident.audit_ids {
            audit_buckets.push(incident.bucket);
            audits.push(id.as_str());
        }
    }
    connection.in_transaction = true;
    let client = &connection.client;
    client.batch_execute("BEGIN").await?;
    let free = client.query_one("-- pg_writer.lock_months\nSELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !free.get::<_, bool>(0) {
        client.batch_execute("ROLLBACK").await?;
        connection.in_transaction = false;
        return Ok(false);
    }
    // First the ids, and then only what belongs to those that were still there.
    let gone = client.query(include_str!("forget_ids.sql"), &[&buckets, &requests, &ids]).await?;
    let buckets: Vec<i32> = gone.iter().map(|row| row.get("bucket")).collect();
    let requests: Vec<&str> = gone.iter().map(|row| row.get("correlation_id")).collect();
    client.execute(include_str!("clear_outbox.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_audits.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_steps.sql"), &[&buckets, &requests, &message.kept_from]).await?;
    client.execute(include_str!("forget_ties.sql"), &[&buckets, &requests]).await?;
    client.execute(include_str!("forget_keys.sql"), &[&message.kept_from]).await?;
    client.batch_execute("COMMIT").await?;
    connection.in_transaction = false;
    Ok(true)
}
