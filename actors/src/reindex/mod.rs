//! Makes up for vectors that were never asked for, as after a time with `EMBEDDER=off`, and fills another embedder's space.

use crate::db::{CommandError, DatabaseConfig, connect};
use crate::domain::time::Clock;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};

/// Audits looked at in one step.
const STEP: i64 = 2000;
/// Rows that may wait in the outbox before more are queued: live traffic has its vectors within seconds.
const MOST_WAITING: i64 = 10_000;
const PAUSE: Duration = Duration::from_millis(200);

/// How far it is.
pub struct Progress {
    pub what: &'static str,
    pub done: u64,
    pub of: u64,
}

pub struct Reindexed {
    pub queued: u64,
    /// The embedder that was searched by until now.
    pub switched_from: Option<String>,
}

/// Goes through all audits and queues those with text that have no vector of this embedder, and waits until the vectors are there, unless it
/// is not to wait. It holds no lock, and may be stopped and started again at any time. Where another embedder is active it waits in any
/// case, and then makes this one active.
///
/// # Errors
/// When one of the databases cannot be reached.
pub async fn reindex(
    audits: &DatabaseConfig,
    vectors: &DatabaseConfig,
    embedder: &str,
    clock: &Clock,
    is_to_wait: bool,
    progress: impl Fn(Progress),
) -> Result<Reindexed, CommandError> {
    let (audits, vectors) = (connect(audits).await?, connect(vectors).await?);
    // What was set aside is tried again.
    let renew = "-- reindex.renew\nUPDATE embedding_outbox SET attempts = 0 WHERE attempts >= 5";
    audits.execute(renew, &[]).await?;
    let mut queued = queue_missing(&audits, &vectors, embedder, clock, &progress).await?;
    let Some(before) = active(&vectors).await?.filter(|active| active != embedder) else {
        if is_to_wait {
            wait_for(&audits, clock(), &progress).await?;
        }
        return Ok(Reindexed { queued, switched_from: None });
    };
    // What was posted meanwhile has its vectors of both. What is missing again and again has no feature to embed, or was set aside.
    let mut missing = u64::MAX;
    while missing > 0 {
        wait_below(&audits, 1, &progress).await?;
        let more = queue_missing(&audits, &vectors, embedder, clock, &progress).await?;
        if more >= missing {
            break;
        }
        missing = more;
        queued += more;
    }
    let switch = "-- reindex.switch\nUPDATE embedding_active SET embedder = $1 WHERE bucket = 0 AND name = 'active'";
    vectors.execute(switch, &[&embedder]).await?;
    Ok(Reindexed { queued, switched_from: Some(before) })
}

/// The embedder whose vectors are searched; `None` before the first.
///
/// # Errors
/// When the database cannot be reached.
pub async fn active_embedder(vectors: &DatabaseConfig) -> Result<Option<String>, CommandError> {
    Ok(active(&connect(vectors).await?).await?)
}

async fn active(vectors: &Client) -> Result<Option<String>, Error> {
    let active = "-- reindex.active\nSELECT embedder FROM embedding_active WHERE bucket = 0 AND name = 'active'";
    Ok(vectors.query_opt(active, &[]).await?.map(|row| row.get(0)))
}

/// Waits until nothing of what was queued by then is left that is still tried.
async fn wait_for(audits: &Client, queued_by: DateTime<Utc>, progress: &impl Fn(Progress)) -> Result<(), Error> {
    let count =
        "-- reindex.waiting_since\nSELECT count(*) FROM embedding_outbox WHERE attempts < 5 AND received_at <= $1";
    let mut most = 0;
    loop {
        let waiting: i64 = audits.query_one(count, &[&queued_by]).await?.get(0);
        if waiting == 0 {
            return Ok(());
        }
        most = waiting.max(most);
        progress(being_made(most, waiting));
        sleep(PAUSE).await;
    }
}

fn being_made(most: i64, waiting: i64) -> Progress {
    Progress { what: "vectors being made", done: (most - waiting).unsigned_abs(), of: most.unsigned_abs() }
}

/// Waits until fewer rows of the outbox are left that are still tried.
async fn wait_below(audits: &Client, rows: i64, progress: &impl Fn(Progress)) -> Result<(), Error> {
    let count = "-- reindex.waiting\nSELECT count(*) FROM embedding_outbox WHERE attempts < 5";
    let mut most = 0;
    loop {
        let waiting: i64 = audits.query_one(count, &[]).await?.get(0);
        if waiting < rows {
            return Ok(());
        }
        most = waiting.max(most);
        progress(being_made(most, waiting));
        sleep(PAUSE).await;
    }
}

async fn queue_missing(
    audits: &Client,
    vectors: &Client,
    embedder: &str,
    clock: &Clock,
    progress: &impl Fn(Progress),
) -> Result<u64, Error> {
    let total: i64 = audits.query_one("-- reindex.count\nSELECT count(*) FROM remediation_audit", &[]).await?.get(0);
    let list = audits.prepare(include_str!("list.sql")).await?;
    let queue = audits.prepare(include_str!("queue.sql")).await?;
    let (mut bucket, mut id) = (-1, String::new());
    let (mut done, mut queued) = (0, 0);
    loop {
        let rows = audits.query(&list, &[&bucket, &id, &STEP]).await?;
        let Some(last) = rows.last() else { return Ok(queued) };
        (bucket, id) = (last.get("bucket"), last.get("id"));
        done += rows.len() as u64; // usize fits into 64 bits
        let lacking: Vec<(i32, String)> =
            rows.iter().filter(|row| row.get("may_lack")).map(|row| (row.get("bucket"), row.get("id"))).collect();
        let held = held(vectors, embedder, &lacking).await?;
        let (buckets, ids): (Vec<i32>, Vec<String>) = lacking.into_iter().filter(|(_, id)| !held.contains(id)).unzip();
        if !ids.is_empty() {
            wait_below(audits, MOST_WAITING, progress).await?;
            queued += audits.execute(&queue, &[&buckets, &ids, &clock()]).await?;
        }
        progress(Progress { what: "audits looked at", done, of: total.unsigned_abs() });
    }
}

/// Which of the audits have a vector of this embedder.
async fn held(vectors: &Client, embedder: &str, audits: &[(i32, String)]) -> Result<HashSet<String>, Error> {
    let (buckets, ids): (Vec<i32>, Vec<&str>) = audits.iter().map(|(bucket, id)| (*bucket, id.as_str())).unzip();
    let rows = vectors
        .query(
            "-- reindex.held
            SELECT e.audit_id FROM unnest($1::int[], $2::text[]) AS u (bucket, audit_id)
            JOIN audit_embeddings AS e ON e.bucket = u.bucket AND e.audit_id = u.audit_id AND e.embedder = $3",
            &[&buckets, &ids, &embedder],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
