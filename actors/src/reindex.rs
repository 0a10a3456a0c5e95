//! Makes up for vectors that were never asked for, as after a time with `EMBEDDER=off`.

use crate::db::DatabaseConfig;
use crate::migrate::{MigrateError, connect};
use chrono::Utc;
use std::collections::HashSet;
use tokio_postgres::Client;

/// Audits looked at in one step.
const STEP: i64 = 2000;

/// Goes through all audits and queues those with text that have no vector. It holds no lock, and may be stopped and started
/// again at any time. Returns how many it queued.
///
/// # Errors
/// When one of the databases cannot be reached.
pub async fn reindex(
    audits: &DatabaseConfig,
    vectors: &DatabaseConfig,
    progress: impl Fn(u64, u64),
) -> Result<u64, MigrateError> {
    let (audits, vectors) = (connect(audits).await?, connect(vectors).await?);
    let total: i64 = audits.query_one("-- reindex.count\nSELECT count(*) FROM remediation_audit", &[]).await?.get(0);
    let list = audits.prepare(include_str!("reindex_list.sql")).await?;
    let queue = audits.prepare(include_str!("reindex_queue.sql")).await?;
    let (mut bucket, mut id) = (-1, String::new());
    let (mut done, mut queued) = (0, 0);
    loop {
        let rows = audits.query(&list, &[&bucket, &id, &STEP]).await?;
        let Some(last) = rows.last() else { return Ok(queued) };
        (bucket, id) = (last.get("bucket"), last.get("id"));
        done += rows.len() as u64; // usize fits into 64 bits
        let with_text: Vec<(i32, String)> =
            rows.iter().filter(|row| row.get("has_text")).map(|row| (row.get("bucket"), row.get("id"))).collect();
        let held = held(&vectors, &with_text).await?;
        let (buckets, ids): (Vec<i32>, Vec<String>) =
            with_text.into_iter().filter(|(_, id)| !held.contains(id)).unzip();
        queued += audits.execute(&queue, &[&buckets, &ids, &Utc::now()]).await?;
        progress(done, total.unsigned_abs());
    }
}

/// Which of the audits have a vector.
async fn held(vectors: &Client, audits: &[(i32, String)]) -> Result<HashSet<String>, tokio_postgres::Error> {
    let (buckets, ids): (Vec<i32>, Vec<&str>) = audits.iter().map(|(bucket, id)| (*bucket, id.as_str())).unzip();
    let rows = vectors
        .query(
            "-- reindex.held
            SELECT e.audit_id FROM unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
            JOIN audit_embeddings AS e ON e.bucket = u.bucket AND e.audit_id = u.audit_id",
            &[&buckets, &ids],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
