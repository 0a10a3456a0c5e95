//! Puts near patterns in the order of their texts' part of the score.

use super::Parts;
use super::coverage::StoreCounts;
use super::features::PatternFeatures;
use super::harvest::{Candidate, harvest};
use super::nearest::{nearest, with_rare_words};
use super::plan::{LIMIT, Plan, QueryVector, Reach, Scope};
use super::score::{Frequencies, Query, score};
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::domain::bucket::Bucket;
use crate::embedder::Embedding;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// A word that more patterns have is not rare.
const RARE: i64 = 50;
/// Patterns whose features are held at once.
const FEATURES_AT_ONCE: usize = 2_000;

/// A pattern that is near.
pub(super) struct NearPattern {
    pub id: Uuid,
    pub similarity: f64,
    /// The text's part of the score.
    pub score: f64,
}

pub(super) struct Candidates {
    /// Best first, by the text's part of the score.
    pub patterns: Vec<NearPattern>,
    /// In the order of their patterns, newest first within one.
    pub incidents: Vec<Candidate>,
    /// Whether there are no others.
    pub is_complete: bool,
    pub query: Query,
}

/// What a search looks for.
pub(super) struct Wanted<'a> {
    pub embedding: &'a Embedding,
    pub vector: QueryVector<'a>,
    pub scope: Scope,
    pub counts: StoreCounts,
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
        let frequencies = self.frequencies(connection).await?;
        let mut near = nearest(connection, &parts.held, &self.vector, &self.scope, plan, reach).await?;
        let least = self.scope.min_similarity;
        let is_whole = i64::try_from(near.len()).is_ok_and(|found| found < reach.patterns) && plan.is_exhaustive()
            || near.last().is_some_and(|(_, similarity)| *similarity < least);
        if plan == Plan::Index {
            near.extend(with_rare_words(connection, &self.vector, self.rare(&frequencies)).await?);
        }
        let query = Query::new(&self.embedding.features, &frequencies);
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
        let (incidents, all) = harvest(connection, self, &patterns, reach).await?;
        Ok(Candidates { patterns, incidents, is_complete: is_whole && all, query })
    }

    fn compare(&self, id: Uuid, similarity: f64, features: &PatternFeatures, query: &Query) -> Option<NearPattern> {
        let likeness = query.compare(&features.profile);
        let is_hashed = self.vector.sparse.is_some();
        // Hashes of vectors may meet where words do not: what has nothing in common is not alike.
        if is_hashed && likeness.share == 0.0 && self.scope.min_similarity > 0.0 {
            return None;
        }
        // A model knows texts that have no word here, as in other scripts: these have their vectors alone.
        let is_compared = !features.profile.is_empty() && !query.is_empty();
        let score = if is_compared { score(&likeness, similarity, is_hashed) } else { similarity };
        Some(NearPattern { id, similarity, score })
    }

    fn terms(&self) -> Vec<&str> {
        self.embedding.features.terms.iter().map(String::as_str).collect()
    }

    fn rare(&self, known: &Frequencies) -> Vec<&str> {
        let is_rare = |term: &&str| known.by_term.get(*term).is_some_and(|count| *count <= RARE);
        self.terms().into_iter().filter(is_rare).collect()
    }

    /// How common the words of the query are.
    async fn frequencies(&self, connection: &mut Connection) -> Result<Frequencies, DatabaseError> {
        let terms = self.terms();
        let buckets: Vec<i32> = terms.iter().map(|term| Bucket::of(term).get()).collect();
        let read = connection.autocommit("similarity.read_frequencies", LIMIT, async |tx| {
            let statement = tx.prepare(include_str!("read_frequencies.sql")).await?;
            tx.client().query(&statement, &[&buckets, &self.vector.embedder, &terms]).await
        });
        let rows = read.await?;
        let by_term: HashMap<String, i64> = rows.iter().map(|row| (row.get("term"), row.get("patterns"))).collect();
        Ok(Frequencies { patterns: self.counts.patterns, by_term })
    }
}
