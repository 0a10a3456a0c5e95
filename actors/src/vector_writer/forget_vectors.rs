use super::VectorWriterActor;
use super::count_changes::count_changes;
use super::patterns_lock::begin_deleting;
use crate::db::pool::Connection;
use crate::db::timed::timed;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::pg_writer::DroppedIncident;
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// Deletes the vectors, facts and patterns of dropped incidents, and patterns that no incident has any more.
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
    // Most of the rows, and nobody waits for them.
    client.execute(include_str!("forget_vectors.sql"), &[&audit_buckets, &audits]).await?;
    begin_deleting(client).await?;
    let patterns = client.query(include_str!("forget_patterns.sql"), &[&buckets, &ids]).await?;
    client.execute(include_str!("forget_facts.sql"), &[&buckets, &ids]).await?;
    forget_unused(connection, &patterns).await?;
    connection.client.batch_execute("COMMIT").await?;
    connection.in_transaction = false;
    Ok(())
}

/// Deletes those of the patterns that nobody has any more, and counts their words no longer.
async fn forget_unused(connection: &mut Connection, patterns: &[Row]) -> Result<(), Error> {
    let patterns: BTreeSet<(&str, Uuid)> =
        patterns.iter().map(|row| (row.get("embedder"), row.get("pattern"))).collect();
    let (embedders, patterns): (Vec<&str>, Vec<Uuid>) = patterns.into_iter().unzip();
    let client = connection.client.clone();
    let unused = client.query(include_str!("list_unused.sql"), &[&embedders, &patterns]).await?;
    let embedders: Vec<&str> = unused.iter().map(|row| row.get("embedder")).collect();
    let patterns: Vec<Uuid> = unused.iter().map(|row| row.get("pattern")).collect();
    let buckets: Vec<i32> = patterns.iter().map(|pattern| Bucket::of_pattern(*pattern).get()).collect();
    let words = client.query(include_str!("forget_words.sql"), &[&buckets, &embedders, &patterns]).await?;
    count_changes(connection, &words).await?;
    let gone = client.query(include_str!("forget_unused.sql"), &[&buckets, &embedders, &patterns]).await?;
    let mut counts: BTreeMap<(i32, &str, &str), i64> = BTreeMap::new();
    for row in &gone {
        let (embedder, terms): (&str, Vec<&str>) = (row.get("embedder"), row.get("terms"));
        // The empty term counts the patterns.
        for term in terms.into_iter().chain([""]) {
            *counts.entry((Bucket::of(term).get(), embedder, term)).or_default() += 1;
        }
    }
    let buckets: Vec<i32> = counts.keys().map(|key| key.0).collect();
    let embedders: Vec<&str> = counts.keys().map(|key| key.1).collect();
    let terms: Vec<&str> = counts.keys().map(|key| key.2).collect();
    let counts: Vec<i64> = counts.into_values().collect();
    client.execute(include_str!("uncount_terms.sql"), &[&buckets, &embedders, &terms, &counts]).await?;
    Ok(())
}
