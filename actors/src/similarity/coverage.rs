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
    /// When they were taken, and how long that took.
    taken: Option<(Instant, Duration)>,
}

/// How old counts are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CountsAge {
    Fresh,
    /// New ones are due, and take longer than a search should wait for.
    Due,
    /// They say nothing any more.
    Old,
}

/// Counting may take a twentieth of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(500);
/// A search waits for counts that take no longer than this; and for others where the last ones are older than three times what they hold.
const SHORT: Duration = Duration::from_millis(10);
const BEARABLE: u32 = 3;

impl StoreCounts {
    pub fn age(&self, embedder: &str) -> CountsAge {
        let Some((taken, took)) = self.taken.filter(|_| self.embedder == embedder) else { return CountsAge::Old };
        let fresh = (took * SHARE).max(LEAST);
        match taken.elapsed() {
            age if age < fresh => CountsAge::Fresh,
            age if took > SHORT && age < fresh * BEARABLE => CountsAge::Due,
            _ => CountsAge::Old,
        }
    }

    /// StoreCounts the incidents of the store, and the patterns of an embedder.
    pub async fn take(connection: &mut Connection, embedder: &str, bucket: i32) -> Result<Self, DatabaseError> {
        let started = Instant::now();
        let count = connection.autocommit("similarity.count_searched", LIMIT, async |tx| {
            let statement = tx.prepare(include_str!("count_searched.sql")).await?;
            tx.client().query_one(&statement, &[&embedder, &bucket]).await
        });
        let row = count.await?;
        let taken = Some((Instant::now(), started.elapsed()));
        let embedder = embedder.to_owned();
        let (known, without_text): (i64, i64) = (row.get("known"), row.get("without_text"));
        let searched = known - without_text;
        Ok(StoreCounts { embedder, searched, without_text, patterns: row.get("patterns"), taken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_waits_for_short_counts_and_for_old_ones() {
        let counts = |age: u64, took: u64| {
            let taken = Instant::now().checked_sub(Duration::from_millis(age)).expect("the machine runs");
            StoreCounts {
                embedder: "e".to_owned(),
                taken: Some((taken, Duration::from_millis(took))),
                ..StoreCounts::default()
            }
        };
        assert_eq!(counts(100, 1).age("e"), CountsAge::Fresh);
        assert_eq!(counts(600, 1).age("e"), CountsAge::Old, "they are taken in no time");
        assert_eq!(counts(600, 400).age("e"), CountsAge::Fresh);
        assert_eq!(counts(9_000, 400).age("e"), CountsAge::Due);
        assert_eq!(counts(25_000, 400).age("e"), CountsAge::Old);
        assert_eq!(counts(100, 1).age("other"), CountsAge::Old);
        assert_eq!(StoreCounts::default().age(""), CountsAge::Old);
    }
}
