use super::{DroppedIncident, LIMIT};
use crate::db::locks::Lock;
use crate::db::transaction::{Share, Transaction};
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::vector_writer::{VectorWriterActor, count_changes};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// Deletes the vectors, facts and patterns of dropped incidents, and patterns that no incident has any more.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct ForgetVectors {
    pub incidents: Vec<DroppedIncident>,
}

/// How long to wait for those who write patterns.
const PATIENCE: Duration = Duration::from_secs(5);

impl Handler<ForgetVectors> for VectorWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, message: ForgetVectors, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let incidents = message.incidents;
            // Most of the rows, and nobody waits for them.
            let forget = async |tx: &mut Transaction<'_>| forget_vectors(tx, &incidents).await;
            connection.autocommit("retention.forget_vectors", LIMIT, forget).await?;
            let forget = async |tx: &mut Transaction<'_>| forget_patterns(tx, &incidents).await;
            connection.transaction("retention.forget_patterns", LIMIT, forget).await?;
            Ok(())
        })
    }
}

async fn forget_vectors(tx: &mut Transaction<'_>, incidents: &[DroppedIncident]) -> Result<u64, Error> {
    let (buckets, audits): (Vec<i32>, Vec<&str>) = incidents
        .iter()
        .flat_map(|incident| incident.audit_ids.iter().map(|id| (incident.bucket, id.as_str())))
        .unzip();
    tx.client().execute(include_str!("forget_vectors.sql"), &[&buckets, &audits]).await
}

async fn forget_patterns(tx: &mut Transaction<'_>, incidents: &[DroppedIncident]) -> Result<(), Error> {
    let (buckets, ids): (Vec<i32>, Vec<i64>) = incidents.iter().map(|incident| (incident.bucket, incident.id)).unzip();
    tx.lock(Lock::Patterns, Share::Alone, PATIENCE).await?;
    let client = tx.client();
    let patterns = client.query(include_str!("forget_patterns.sql"), &[&buckets, &ids]).await?;
    client.execute(include_str!("forget_facts.sql"), &[&buckets, &ids]).await?;
    forget_unused(tx, &patterns).await
}

/// Deletes those of the patterns that no incident has any more, and counts their words no longer.
async fn forget_unused(tx: &mut Transaction<'_>, patterns: &[Row]) -> Result<(), Error> {
    let patterns: BTreeSet<(&str, Uuid)> =
        patterns.iter().map(|row| (row.get("embedder"), row.get("pattern"))).collect();
    let (embedders, patterns): (Vec<&str>, Vec<Uuid>) = patterns.into_iter().unzip();
    let list_unused = tx.prepare(include_str!("list_unused.sql")).await?;
    let client = tx.client();
    let unused = client.query(&list_unused, &[&embedders, &patterns]).await?;
    let embedders: Vec<&str> = unused.iter().map(|row| row.get("embedder")).collect();
    let patterns: Vec<Uuid> = unused.iter().map(|row| row.get("pattern")).collect();
    let buckets: Vec<i32> = patterns.iter().map(|pattern| Bucket::of_pattern(*pattern).get()).collect();
    let words = client.query(include_str!("forget_words.sql"), &[&buckets, &embedders, &patterns]).await?;
    count_changes(tx, &words).await?;
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
    client.execute(include_str!("forget_unused_terms.sql"), &[&buckets, &embedders, &terms]).await?;
    Ok(())
}
