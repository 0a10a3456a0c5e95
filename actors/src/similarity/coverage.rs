//! How much of the memory a search has looked at.

use super::plan::LIMIT;
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What was searched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Incidents that there are; of these, the ones that were searched, that the vector store does not know yet, and in which there is
    /// nothing to embed. The first is the sum of the others.
    pub incidents: i64,
    pub searched: i64,
    pub pending: i64,
    pub without_text: i64,
    /// Words of the query that say something, and those of them that any incident has.
    pub query_terms: usize,
    pub known_terms: usize,
    /// Whether every pattern was compared, and not only those that the index came upon.
    pub exhaustive: bool,
    pub embedder: String,
    /// The least similarity that counted.
    pub min_similarity: f64,
}

/// StoreCounts of the vector store, which are taken anew now and then.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreCounts {
    embedder: String,
    pub searched: i64,
    pub without_text: i64,
    pub patterns: i64,
    until: Option<Instant>,
}

/// Counting may take a twentieth of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(500);

impl StoreCounts {
    pub fn are_fresh(&self, embedder: &str) -> bool {
        self.embedder == embedder && self.until.is_some_and(|until| Instant::now() < until)
    }

    /// StoreCounts the incidents of the store, and the patterns of an embedder.
    pub async fn take(connection: &mut Connection, embedder: &str, bucket: i32) -> Result<Self, DatabaseError> {
        let started = Instant::now();
        let count = connection.autocommit("similarity.count_searched", LIMIT, async |tx| {
            let statement = tx.prepare(include_str!("count_searched.sql")).await?;
            tx.client().query_one(&statement, &[&embedder, &bucket]).await
        });
        let row = count.await?;
        let until = Instant::now() + (started.elapsed() * SHARE).max(LEAST);
        let embedder = embedder.to_owned();
        let (known, without_text): (i64, i64) = (row.get("known"), row.get("without_text"));
        let searched = known - without_text;
        Ok(StoreCounts { embedder, searched, without_text, patterns: row.get("patterns"), until: Some(until) })
    }
}
