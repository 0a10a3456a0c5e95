//! Measures in the background what the index misses: the last real queries are asked again, of the index and of all patterns.

use super::Parts;
use super::nearest::nearest_in_store;
use super::plan::{Plan, QueryVector, Scope};
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::domain::facets::Facets;
use crate::domain::filter::IncidentFilter;
use crate::embedder::{Embedding, Space};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often, where it takes no longer than a fiftieth of that: comparing all patterns costs the more the more there are.
pub(super) const EVERY: Duration = Duration::from_secs(30);
const SHARE: u32 = 50;
/// Queries that are compared in a round, and neighbours of each.
const QUERIES: usize = 4;
const NEIGHBOURS: i64 = 10;

/// The last queries that the index answered.
#[derive(Default)]
pub(super) struct Sample {
    queries: VecDeque<Arc<Embedding>>,
    /// Not before then.
    next: Option<Instant>,
}

impl Sample {
    pub fn add(&mut self, query: Arc<Embedding>) {
        if self.queries.len() == QUERIES {
            self.queries.pop_front();
        }
        self.queries.push_back(query);
    }

    /// Those since the last time, when it is time.
    fn take(&mut self) -> Vec<Arc<Embedding>> {
        let is_due = self.next.is_none_or(|next| Instant::now() >= next);
        if is_due { self.queries.drain(..).collect() } else { Vec::new() }
    }
}

impl Parts {
    /// Sets the metric to the share of true neighbours that the index found.
    pub(super) async fn check_recall(&self, pool: &Pool) {
        let queries = self.sample.borrow_mut().take();
        let Some(Ok(space)) = self.settings.spaces.as_ref().map(|spaces| spaces.searched()) else { return };
        if queries.is_empty() {
            return;
        }
        let started = Instant::now();
        // A store that does not answer is reported by its probe.
        if let Ok((found @ 0.., there @ 1..)) = compare(pool, &space, &queries).await {
            self.metrics.search_recall_ratio.with_label_values::<&str>(&[]).set(found as f64 / there as f64); // at most QUERIES × NEIGHBOURS
        }
        self.sample.borrow_mut().next = Some(Instant::now() + started.elapsed() * SHARE);
    }
}

/// How many of the true neighbours the index found, and how many there are.
async fn compare(pool: &Pool, space: &Space, queries: &[Arc<Embedding>]) -> Result<(usize, usize), DatabaseError> {
    let mut connection = pool.get().await?;
    let (filter, facets) = (IncidentFilter::default(), Facets::default());
    let scope = Scope { filter, facets, as_of: None, min_similarity: 0.0 };
    let (mut found, mut there) = (0, 0);
    for query in queries {
        let vector = QueryVector::new(space, query);
        let near = nearest_in_store(&mut connection, &vector, &scope, Plan::Index, NEIGHBOURS).await?;
        let nearest = nearest_in_store(&mut connection, &vector, &scope, Plan::Scan, NEIGHBOURS).await?;
        let near: HashSet<Uuid> = near.into_iter().map(|(pattern, _)| pattern).collect();
        found += nearest.iter().filter(|(pattern, _)| near.contains(pattern)).count();
        there += nearest.len();
    }
    Ok((found, there))
}
