//! Measures in the background what the index misses: the last real queries are asked again, of the index and of all patterns.

use super::candidates::{Plan, Reach, Wanted};
use super::features::KnownFeatures;
use crate::db::pool::Pool;
use crate::domain::facets::Facets;
use crate::domain::filter::IncidentFilter;
use crate::embedder::{Embedding, Space};
use crate::metrics::Metrics;
use pgvector::{SparseVector, Vector};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error;
use uuid::Uuid;

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(30);
/// Queries that are compared in a round, and neighbours of each.
const QUERIES: usize = 4;
const NEIGHBOURS: i64 = 10;

/// The last queries that the index answered.
#[derive(Default)]
pub(super) struct Sample(VecDeque<Arc<Embedding>>);

impl Sample {
    pub fn add(&mut self, query: Arc<Embedding>) {
        if self.0.len() == QUERIES {
            self.0.pop_front();
        }
        self.0.push_back(query);
    }

    /// Those since the last time.
    pub fn take(&mut self) -> Vec<Arc<Embedding>> {
        self.0.drain(..).collect()
    }
}

/// Sets the metric to the share of true neighbours that the index found.
pub(super) async fn check_recall(
    pool: Pool,
    metrics: Metrics,
    space: Space,
    queries: Vec<Arc<Embedding>>,
    known: Rc<KnownFeatures>,
) {
    let Ok(mut connection) = pool.get().await else { return };
    let (mut found, mut there) = (0usize, 0usize);
    for query in &queries {
        let vector = Vector::from(query.vector.clone());
        let words = space.sparse.then(|| SparseVector::from_dense(&query.vector));
        let (filter, facets) = (IncidentFilter::default(), Facets::default());
        let wanted = Wanted {
            embedder: &space.id,
            embedding: query,
            vector: &vector,
            filter: &filter,
            facets: &facets,
            as_of: None,
            min_similarity: 0.0,
            patterns: 0,
            incidents: 0,
            known: &known,
            held: None,
            words: words.as_ref(),
        };
        let reach = Reach { patterns: NEIGHBOURS, incidents: 1, enough: Some(0) };
        let both: Result<(HashSet<Uuid>, HashSet<Uuid>), Error> = async {
            let near = wanted.nearest_ids(&mut connection, Plan::Index, reach).await?;
            Ok((near, wanted.nearest_ids(&mut connection, Plan::Scan, reach).await?))
        }
        .await;
        // A store that does not answer is reported by others.
        let Ok((near, nearest)) = both else { return };
        found += nearest.intersection(&near).count();
        there += nearest.len();
    }
    if there > 0 {
        metrics.search_recall_ratio.set(found as f64 / there as f64); // at most QUERIES × NEIGHBOURS
    }
}
