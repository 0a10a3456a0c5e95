use super::VectorWriterActor;
use crate::db::pool::Connection;
use crate::db::timed::timed;
use crate::error::ActorError;
use crate::pg_writer::DroppedIncident;
use actix::prelude::*;
use tokio_postgres::Error;

/// Deletes the vectors, facts and patterns of dropped incidents. A pattern that nobody has any more stays: it is found by nothing.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct ForgetVectors {
    pub incidents: Vec<DroppedIncident>,
}

impl Handler<ForgetVectors> for VectorWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, message: ForgetVectors, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.as_ref().map(|running| running.pool.clone());
        let metrics = self.metrics.clone();
        Box::pin(async move {
            let pool = pool.ok_or(ActorError::Unavailable("the vector writer is starting"))?;
            let mut connection = pool.get().await?;
            timed(&metrics, "vector_writer.forget_vectors", async {
                let result = forget(&mut connection, &message.incidents).await;
                connection.or_undone(result).await
            })
            .await
        })
    }
}

async fn forget(connection: &mut Connection, incidents: &[DroppedIncident]) -> Result<(), Error> {
    let audits: Vec<(i32, &str)> = incidents
        .iter()
        .flat_map(|incident| incident.audit_ids.iter().map(|id| (incident.bucket, id.as_str())))
        .collect();
    let (audit_buckets, audits): (Vec<i32>, Vec<&str>) = audits.into_iter().unzip();
    let (buckets, ids): (Vec<i32>, Vec<i64>) = incidents.iter().map(|incident| (incident.bucket, incident.id)).unzip();
    connection.in_transaction = true;
    let client = &connection.client;
    client.batch_execute("BEGIN").await?;
    client.execute(include_str!("forget_vectors.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("forget_patterns.sql"), &[&buckets, &ids]).await?;
    client.execute(include_str!("forget_facts.sql"), &[&buckets, &ids]).await?;
    client.batch_execute("COMMIT").await?;
    connection.in_transaction = false;
    Ok(())
}
