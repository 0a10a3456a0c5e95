//! Keeps the held patterns up with the vector store. How often each bucket has changed is counted in the transactions that change it: a search
//! sees what was committed before it, whichever service wrote it.

use super::held::{Bits, BucketsRead, Held, HeldPatterns, packed};
use super::learn::learn;
use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::domain::bucket::{BUCKETS, Bucket};
use crate::embedder::Spaces;
use crate::metrics::Metrics;
use bit_vec::BitVec;
use futures_util::TryStreamExt;
use pgvector::SparseVector;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Between two readings of all patterns, where they cannot be held or something is amiss.
const BETWEEN_LOADS: Duration = Duration::from_secs(60);
/// How long a reading may take: all patterns, or what has changed.
const LOAD: Duration = Duration::from_secs(120);
const CATCH_UP: Duration = Duration::from_secs(10);
/// Patterns that are read again at once.
const AT_ONCE: usize = 12_500;
/// Patterns of changed buckets that a search reads itself; where there are more, it asks the vector store meanwhile.
pub(super) const OF_A_SEARCH: usize = 4 * AT_ONCE;

/// Catches up with what was committed before this was called, and says whether all patterns of the embedder are held. Where buckets have
/// changed that have more than `most` patterns, nothing is read, and they are not.
pub(super) async fn catch_up(
    connection: &mut Connection,
    patterns: &HeldPatterns,
    embedder: &str,
    most: usize,
) -> Result<bool, DatabaseError> {
    if !patterns.is_of(embedder) {
        return Ok(false);
    }
    let arrived = Instant::now();
    let _turn = patterns.turn.lock().await;
    // A caller that arrived before the last refresh began need not refresh again.
    if patterns.begun.get().is_none_or(|begun| begun < arrived) {
        let begun = Instant::now();
        let refresh = async |tx: &mut Transaction<'_>| refresh(tx, patterns, embedder, most).await;
        if !connection.autocommit("similarity.catch_up", CATCH_UP, refresh).await? {
            return Ok(false);
        }
        patterns.begun.set(Some(begun));
    }
    if patterns.of(embedder, |held| held.is_worth_it()) == Some(false) {
        patterns.release();
    }
    Ok(patterns.of(embedder, |held| held.is_whole()).unwrap_or(false))
}

/// Reads the buckets again whose count of changes is another; `false` where these have more than `most` patterns. What has been read stays,
/// also where time runs out before all is read: the next refresh goes on from there.
async fn refresh(
    tx: &mut Transaction<'_>,
    patterns: &HeldPatterns,
    embedder: &str,
    most: usize,
) -> Result<bool, Error> {
    let (revision, expected) = check(tx, embedder).await?;
    let known = patterns.of(embedder, |held| (held.revision() != revision).then(|| held.revisions().clone()));
    if let Some(Some(known)) = known {
        let revisions = revisions(tx, embedder).await?;
        let of_either = known.keys().chain(revisions.keys());
        let changed: HashSet<i32> = of_either.filter(|at| known.get(at) != revisions.get(at)).copied().collect();
        let changed: Vec<i32> = changed.into_iter().collect();
        if changed.len() > buckets_of(most, expected) {
            return Ok(false);
        }
        for buckets in changed.chunks(buckets_of(AT_ONCE, expected)) {
            let facets = read_facets(tx, embedder, buckets).await?;
            let is_new = |(id, _): &&(Uuid, Bits)| patterns.of(embedder, |held| !held.has(*id)).unwrap_or(false);
            let ids: Vec<Uuid> = facets.iter().filter(is_new).map(|(id, _)| *id).collect();
            let mut new = Vec::new();
            read(tx, embedder, buckets, Some(&ids), |pattern| new.push(pattern)).await?;
            // The revisions were read before the patterns: what changed in between is read once more.
            patterns.of(embedder, |held| held.replace(buckets, BucketsRead { facets, new }, &revisions));
        }
    }
    patterns.of(embedder, |held| held.expect(expected));
    Ok(true)
}

/// Reads all patterns of an embedder, unless they are too many or take too much memory. What was held before goes first.
async fn load(connection: &mut Connection, patterns: &HeldPatterns, embedder: &str) -> Result<(), DatabaseError> {
    let Ok(_turn) = patterns.turn.try_lock() else { return Ok(()) };
    patterns.release();
    patterns.loaded.set(Some(Instant::now()));
    let load = async |tx: &mut Transaction<'_>| {
        let (_, expected) = check(tx, embedder).await?;
        let mut held = Held::new(embedder, expected);
        if !held.is_worth_it() {
            return Ok(None);
        }
        let revisions = revisions(tx, embedder).await?;
        let all: Vec<i32> = (0..BUCKETS).filter_map(|bucket| i32::try_from(bucket).ok()).collect();
        for buckets in all.chunks(buckets_of(AT_ONCE, expected)) {
            read(tx, embedder, buckets, None, |(bucket, id, words, facets)| held.add(bucket, id, &words, facets))
                .await?;
            if !held.is_worth_it() {
                return Ok(None);
            }
        }
        held.set_revisions(revisions);
        held.shrink();
        Ok(Some(held))
    };
    if let Some(held) = connection.autocommit("similarity.hold_patterns", LOAD, load).await? {
        patterns.hold(held);
    }
    Ok(())
}

/// The sum of the revisions, and how many patterns there are.
async fn check(tx: &mut Transaction<'_>, embedder: &str) -> Result<(i64, i64), Error> {
    let statement = tx.prepare(include_str!("check_revision.sql")).await?;
    let row = tx.client().query_one(&statement, &[&embedder, &Bucket::of("").get()]).await?;
    Ok((row.get("revision"), row.get("patterns")))
}

async fn revisions(tx: &mut Transaction<'_>, embedder: &str) -> Result<HashMap<i32, i64>, Error> {
    let statement = tx.prepare(include_str!("read_revisions.sql")).await?;
    let rows = tx.client().query(&statement, &[&embedder]).await?;
    Ok(rows.iter().map(|row| (row.get("bucket"), row.get("revision"))).collect())
}

/// How many buckets have so many patterns, of all that there are; one at least.
fn buckets_of(patterns: usize, all: i64) -> usize {
    let buckets = usize::try_from(BUCKETS).unwrap_or(usize::MAX);
    patterns.saturating_mul(buckets) / usize::try_from(all).unwrap_or(0).max(buckets) + 1
}

/// Reads which facets the patterns of some buckets have.
async fn read_facets(tx: &mut Transaction<'_>, embedder: &str, buckets: &[i32]) -> Result<Vec<(Uuid, Bits)>, Error> {
    let statement = tx.prepare(include_str!("read_facets.sql")).await?;
    let rows = tx.client().query(&statement, &[&embedder, &buckets]).await?;
    Ok(rows.iter().map(|row| (row.get("pattern"), packed(&row.get::<_, BitVec>("facets")))).collect())
}

/// Reads the patterns of some buckets, or those of them that have these ids, one after the other.
async fn read(
    tx: &mut Transaction<'_>,
    embedder: &str,
    buckets: &[i32],
    ids: Option<&[Uuid]>,
    mut take: impl FnMut((i32, Uuid, SparseVector, Bits)),
) -> Result<(), Error> {
    if ids.is_some_and(<[Uuid]>::is_empty) {
        return Ok(());
    }
    let statement = match ids {
        None => tx.prepare(include_str!("read_patterns.sql")).await?,
        Some(_) => tx.prepare(include_str!("read_new_patterns.sql")).await?,
    };
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&embedder, &buckets];
    params.extend(ids.as_ref().map(|ids| ids as &(dyn ToSql + Sync)));
    let client = tx.client();
    let mut rows = pin!(client.query_raw(&statement, params).await?);
    while let Some(row) = rows.try_next().await? {
        let facets: BitVec = row.get("facets");
        take((row.get("bucket"), row.get("pattern"), row.get("embedding"), packed(&facets)));
    }
    Ok(())
}

/// Holds the patterns that are searched, and keeps up with them, whether anybody searches or not.
pub(in crate::similarity) async fn hold_patterns(
    pool: &Pool,
    metrics: &Metrics,
    spaces: &Spaces,
    patterns: &HeldPatterns,
) {
    match spaces.searched() {
        Ok(space) if space.sparse => {
            // Where the vector store does not answer, its probe says so.
            let _ = hold(pool, patterns, &space.id).await;
            measure(metrics, patterns);
            let _ = learn(pool, patterns, &space.id).await;
        }
        Ok(_) => patterns.release(),
        Err(_) => {}
    }
    measure(metrics, patterns);
}

fn measure(metrics: &Metrics, patterns: &HeldPatterns) {
    let (count, bytes) = patterns.size();
    metrics.held_patterns.set(i64::try_from(count).unwrap_or(i64::MAX));
    metrics.held_patterns_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
}

async fn hold(pool: &Pool, patterns: &HeldPatterns, embedder: &str) -> Result<(), DatabaseError> {
    let mut connection = pool.get().await?;
    let is_whole = catch_up(&mut connection, patterns, embedder, usize::MAX).await?;
    let is_due = patterns.loaded.get().is_none_or(|loaded| loaded.elapsed() > BETWEEN_LOADS);
    if is_whole || !is_due { Ok(()) } else { load(&mut connection, patterns, embedder).await }
}
