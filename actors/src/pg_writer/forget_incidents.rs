use super::{DroppedIncident, PgWriterActor};
use crate::db::pool::Connection;
use crate::db::timed::timed_within;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_postgres::Error;

/// Deletes what belongs to dropped incidents: audits, outbox rows, steps, ties, keys that are as old, and last the incidents' ids, by
/// which they are found.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct ForgetIncidents {
    pub incidents: Vec<DroppedIncident>,
    pub kept_from: DateTime<Utc>,
}

/// A month may have many incidents, and a batch many audits.
const LIMIT: Duration = Duration::from_secs(55);

impl Handler<ForgetIncidents> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

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

async fn forget(connection: &mut Connection, message: &ForgetIncidents) -> Result<(), Error> {
    let buckets: Vec<i32> = message.incidents.iter().map(|incident| incident.bucket).collect();
    let requests: Vec<&str> = message.incidents.iter().map(|incident| incident.correlation_id.as_str()).collect();
    let ids: Vec<i64> = message.incidents.iter().map(|incident| incident.id).collect();
    let (mut audit_buckets, mut audits) = (Vec::new(), Vec::new());
    for incident in &message.incidents {
        for id in &incident.audit_ids {
            audit_buckets.push(incident.bucket);
            audits.push(id.as_str());
        }
    }
    connection.in_transaction = true;
    let client = &connection.client;
    client.batch_execute("BEGIN").await?;
    client.execute(include_str!("clear_outbox.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_audits.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_steps.sql"), &[&buckets, &requests]).await?;
    client.execute(include_str!("forget_ties.sql"), &[&buckets, &requests]).await?;
    client.execute(include_str!("forget_keys.sql"), &[&message.kept_from]).await?;
    client.execute(include_str!("forget_ids.sql"), &[&buckets, &requests, &ids]).await?;
    client.batch_execute("COMMIT").await?;
    connection.in_transaction = false;
    Ok(())
}
