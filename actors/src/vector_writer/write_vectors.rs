//! One transaction of the vector store.

use crate::db::pool::{Connection, Pool};
use crate::db::timed::timed;
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::embedder::{BUILTIN_ID, Embedding};
use crate::error::ActorError;
use crate::metrics::Metrics;
use chrono::{DateTime, Utc};
use futures_util::join;
use pgvector::Vector;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Writes the vectors; those that are there stay as they are.
pub(super) async fn write_vectors(
    pool: &Pool,
    metrics: &Metrics,
    vectors: &[(AuditId, Arc<Embedding>)],
    now: DateTime<Utc>,
) -> Result<(), ActorError> {
    let mut connection = pool.get().await?;
    timed(metrics, "vector_writer.write_vectors", async {
        let result = transaction(&mut connection, vectors, now).await;
        if result.is_err() && !connection.client.is_closed() {
            connection.in_transaction = connection.client.batch_execute("ROLLBACK").await.is_err();
        }
        result
    })
    .await
}

async fn transaction(
    connection: &mut Connection,
    vectors: &[(AuditId, Arc<Embedding>)],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let write_patterns = connection.prepare(include_str!("write_patterns.sql")).await?;
    let write_vectors = connection.prepare(include_str!("write_vectors.sql")).await?;
    let patterns: BTreeMap<(i32, Uuid), &Embedding> = vectors
        .iter()
        .map(|(_, embedding)| ((bucket_of(embedding.pattern), embedding.pattern), &**embedding))
        .collect();
    let pattern_buckets: Vec<i32> = patterns.keys().map(|key| key.0).collect();
    let pattern_ids: Vec<Uuid> = patterns.keys().map(|key| key.1).collect();
    let pattern_vectors: Vec<Vector> = patterns.values().map(|e| Vector::from(e.vector.clone())).collect();
    let buckets: Vec<i32> = vectors.iter().map(|(id, _)| id.bucket().get()).collect();
    let ids: Vec<String> = vectors.iter().map(|(id, _)| id.to_string()).collect();
    let their_patterns: Vec<Uuid> = vectors.iter().map(|(_, embedding)| embedding.pattern).collect();
    let embeddings: Vec<Vector> = vectors.iter().map(|(_, e)| Vector::from(e.vector.clone())).collect();
    connection.in_transaction = true;
    let client = &connection.client;
    let of_patterns: [&(dyn ToSql + Sync); 5] = [&pattern_buckets, &BUILTIN_ID, &pattern_ids, &pattern_vectors, &now];
    let of_audits: [&(dyn ToSql + Sync); 6] = [&buckets, &ids, &BUILTIN_ID, &their_patterns, &embeddings, &now];
    let (begun, patterns, vectors, committed) = join!(
        client.batch_execute("BEGIN"),
        client.execute(&write_patterns, &of_patterns),
        client.execute(&write_vectors, &of_audits),
        client.batch_execute("COMMIT"),
    );
    begun?;
    patterns?;
    vectors?;
    committed?;
    connection.in_transaction = false;
    Ok(())
}

/// A pattern is looked up by itself.
fn bucket_of(pattern: Uuid) -> i32 {
    Bucket::of_digest(pattern.as_bytes()).get()
}
