//! How much of the memory a search has looked at.

use crate::db::pool::Connection;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio_postgres::Error;

/// What was searched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Incidents that there are, that the vector store knows, and that it does not know yet.
    pub incidents: i64,
    pub searched: i64,
    pub pending: i64,
    /// Whether every pattern was compared, and not only those that the index came upon.
    pub exhaustive: bool,
    pub embedder: String,
    /// The least similarity that counted.
    pub min_similarity: f64,
}

/// Counts of the vector store, which are taken anew now and then.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    embedder: String,
    pub searched: i64,
    pub patterns: i64,
    until: Option<Instant>,
}

/// Counting may take a twentieth of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(500);

impl Counts {
    pub fn are_fresh(&self, embedder: &str) -> bool {
        self.embedder == embedder && self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Counts the incidents of the store, and the patterns of an embedder.
    pub async fn take(connection: &mut Connection, embedder: &str, bucket: i32) -> Result<Self, Error> {
        let statement = connection.prepare(include_str!("count_searched.sql")).await?;
        let started = Instant::now();
        let row = connection.client.query_one(&statement, &[&embedder, &bucket]).await?;
        let until = Instant::now() + (started.elapsed() * SHARE).max(LEAST);
        let embedder = embedder.to_owned();
        Ok(Counts { embedder, searched: row.get("searched"), patterns: row.get("patterns"), until: Some(until) })
    }
}
