//! Compares near patterns with the text that is asked for.

use super::coverage::StoreCounts;
use super::features::PatternFeatures;
use super::plan::{QueryVector, Scope};
use super::score::{Frequencies, Query, round, score};
use crate::domain::filter::IncidentFilter;
use crate::embedder::Embedding;
use uuid::Uuid;

/// A word that more patterns have is not rare.
const RARE: i64 = 50;
/// A pattern that is near.
pub(super) struct NearPattern {
    pub id: Uuid,
    pub similarity: f64,
    /// The text's part of the score.
    pub score: f64,
}

/// What a search looks for.
pub(super) struct Wanted<'a> {
    pub embedding: &'a Embedding,
    pub vector: QueryVector<'a>,
    pub scope: Scope,
    /// The same filter, and the place of the incident that is asked about.
    pub local: Option<IncidentFilter>,
    /// How common the words of the query are.
    pub frequencies: &'a Frequencies,
    pub counts: StoreCounts,
}

impl Wanted<'_> {
    pub fn compare(&self, id: Uuid, similarity: f64, features: &PatternFeatures, query: &Query) -> Option<NearPattern> {
        let likeness = query.compare(&features.profile);
        let is_hashed = self.vector.sparse.is_some();
        // Hashes of vectors may meet where words do not: what has nothing in common is not alike.
        if is_hashed && likeness.share == 0.0 && self.scope.min_similarity > 0.0 {
            return None;
        }
        // A model knows texts that have no word here, as in other scripts: these have their vectors alone.
        let is_compared = !features.profile.is_empty() && !query.is_empty();
        let score = if is_compared { score(&likeness, similarity, is_hashed) } else { similarity };
        // As it is shown: what looks equal is equal, and ordered by place.
        Some(NearPattern { id, similarity, score: round(score) })
    }

    fn terms(&self) -> Vec<&str> {
        self.embedding.features.terms.iter().map(String::as_str).collect()
    }

    pub fn rare(&self) -> Vec<&str> {
        let is_rare = |term: &&str| self.frequencies.by_term.get(*term).is_some_and(|count| *count <= RARE);
        self.terms().into_iter().filter(is_rare).collect()
    }
}
