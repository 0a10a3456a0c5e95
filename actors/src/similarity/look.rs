//! One look at the vector store: near patterns in the order of their texts' part of the score, and their incidents.

use super::Parts;
use super::harvest::{Candidate, harvest, harvest_local};
use super::nearest::{Nearest, nearest, with_rare_words};
use super::plan::{Plan, Reach};
use super::rank::{NearPattern, Wanted};
use super::score::Query;
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use std::collections::HashSet;
use uuid::Uuid;

/// Patterns whose features are held at once.
const FEATURES_AT_ONCE: usize = 2_000;

pub(super) struct Candidates {
    /// Best first, by the text's part of the score.
    pub patterns: Vec<NearPattern>,
    pub incidents: Vec<Candidate>,
    /// Whether there are no others.
    pub is_complete: bool,
    /// Whether every pattern was compared, and how.
    pub is_exhaustive: bool,
    pub kind: &'static str,
    pub query: Query,
}

impl Wanted<'_> {
    /// The best candidates, as far as one looks.
    pub async fn look(
        &self,
        connection: &mut Connection,
        parts: &Parts,
        plan: Plan,
        reach: Reach,
    ) -> Result<Candidates, DatabaseError> {
        let of = (reach, self.counts.patterns);
        let query = Query::new(&self.embedding.features, self.frequencies);
        let found = nearest(connection, &parts.held, (&self.vector, &query), &self.scope, plan, of).await?;
        let Nearest { mut near, is_all, plan, in_memory } = found;
        let least = self.scope.min_similarity;
        let is_whole = is_all || near.last().is_some_and(|(_, similarity)| *similarity < least);
        if plan == Plan::Index {
            near.extend(with_rare_words(connection, &self.vector, self.rare()).await?);
        }
        let mut seen = HashSet::new();
        near.retain(|(pattern, similarity)| *similarity >= least && seen.insert(*pattern));
        let mut patterns = Vec::with_capacity(near.len());
        for part in near.chunks(FEATURES_AT_ONCE) {
            let ids: Vec<Uuid> = part.iter().map(|(id, _)| *id).collect();
            let features = parts.known.get(connection, self.vector.embedder, &ids).await?;
            patterns.extend(
                part.iter().filter_map(|(id, similarity)| self.compare(*id, *similarity, features.get(id)?, &query)),
            );
        }
        // Near-copies that differ by a name have the same score.
        patterns.sort_by(|a, b| {
            let nearer = || b.similarity.total_cmp(&a.similarity);
            b.score.total_cmp(&a.score).then_with(nearer).then_with(|| a.id.cmp(&b.id))
        });
        let (found, all) = harvest(connection, self, &self.scope.filter, &patterns, reach).await?;
        let mut incidents = harvest_local(connection, self, &patterns, reach).await?;
        let local: HashSet<i64> = incidents.iter().map(|candidate| candidate.id).collect();
        incidents.extend(found.into_iter().filter(|candidate| !local.contains(&candidate.id)));
        let is_exhaustive = plan.is_exhaustive();
        let kind = if in_memory { "memory" } else { plan.kind() };
        Ok(Candidates { patterns, incidents, is_complete: is_whole && all, is_exhaustive, kind, query })
    }
}
