//! Gathers the best incidents that fit, more and more of them until there are enough.

use super::harvest::Candidate;
use super::look::Candidates;
use super::plan::{Plan, Reach};
use super::rank::Wanted;
use super::{Parts, closeness};
use crate::db::pool::Pool;
use crate::domain::filter::IncidentFilter;
use crate::domain::search::{About, Collapse, MAX_LIMIT, Search};
use crate::error::ActorError;
use crate::query::{FindIncidents, FoundIncident, Place};
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// Incidents that the summary is made of, at most: the best that fit.
pub(super) const SUMMED_UP: usize = 50;
/// How far to look, round after round, until there are enough that fit: patterns, by their vectors or by their estimates, incidents of each
/// (the best alone may have all hits, and some that fit no more), and incidents of all, whatever the limit: a shorter list is the beginning
/// of a longer.
const REACHES: [(i64, usize, i64, usize); 3] =
    [(1_000, 300, 125, MAX_LIMIT + 25), (2_000, 2_000, 1_000, 40 * MAX_LIMIT), (100_000, 100_000, 20_000, usize::MAX)];
/// Of incidents that are alike one is shown: so many are looked at to count the others.
pub(super) const COUNTED: usize = 1_000;
/// Incidents that are asked for at once.
const AT_ONCE: usize = 250;

/// A candidate and its score.
pub(super) struct Scored {
    pub candidate: Candidate,
    pub score: f64,
    pub recency: Option<f64>,
}

/// What was found: the candidates of the last look, and the best incidents among them that fit.
pub(super) struct Gathered {
    pub candidates: Candidates,
    pub fitting: Vec<(Scored, FoundIncident)>,
    /// Whether every pattern was compared.
    pub is_exhaustive: bool,
}

impl Parts {
    /// The best incidents that fit, more and more of them until there are enough or no others. No connection of the vector store is
    /// held while the incidents are read: the two pools never wait for each other.
    pub(super) async fn gather(
        &self,
        pool: &Pool,
        wanted: &Wanted<'_>,
        search: &Search,
        place: &Place,
    ) -> Result<Gathered, ActorError> {
        let mut plan = self.plan(pool, wanted).await?;
        let is_collapsed = search.collapse != Collapse::None;
        let enough = if is_collapsed { COUNTED } else { search.limit.max(SUMMED_UP) };
        let mut last = None;
        // Where age counts, a less alike pattern may be the better one; where incidents are alike, their number counts: the nearest alone
        // will not do.
        let reaches = if search.half_life.is_some() || is_collapsed { &REACHES[1..] } else { &REACHES[..] };
        for (patterns, estimated, incidents, enough_of_all) in reaches.iter().copied() {
            let reach = Reach {
                patterns,
                estimated,
                incidents,
                // Where age counts, an incident of a less alike pattern may come before one of a better.
                enough: search.half_life.is_none().then_some(enough_of_all),
            };
            let candidates = self.look(pool, wanted, plan, reach).await?;
            let scored = self.score(&candidates, search);
            let fitting = self.fitting(scored, search, place, enough).await?;
            let is_done = candidates.is_complete || fitting.len() >= enough;
            // What was not found although it may be there was not searched.
            let is_exhaustive = candidates.is_exhaustive && is_done;
            last = Some(Gathered { candidates, fitting, is_exhaustive });
            if is_done {
                break;
            }
            if !wanted.scope.is_unfiltered() {
                // What is near does not fit: those that fit are compared, however many they are.
                plan = Plan::OfMatching;
            }
        }
        let gathered = last.ok_or(ActorError::Internal)?;
        self.metrics.searches_total.with_label_values(&[gathered.candidates.kind]).inc();
        Ok(gathered)
    }

    pub(super) async fn plan(&self, pool: &Pool, wanted: &Wanted<'_>) -> Result<Plan, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let (is_sparse, counts) = (wanted.vector.sparse.is_some(), &wanted.counts);
        let plan = Plan::choose(&mut connection, &wanted.scope, is_sparse, counts.patterns, counts.searched);
        plan.await.map_err(ActorError::VectorStore)
    }

    pub(super) async fn look(
        &self,
        pool: &Pool,
        wanted: &Wanted<'_>,
        plan: Plan,
        reach: Reach,
    ) -> Result<Candidates, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        wanted.look(&mut connection, self, plan, reach).await.map_err(ActorError::VectorStore)
    }

    /// Best first; of two with the same score the one that happened in the place that is asked about, then the nearer, and then the newer.
    pub(super) fn score(&self, candidates: &Candidates, search: &Search) -> Vec<Scored> {
        let now = search.as_of.unwrap_or_else(|| (self.clock)());
        let mut scored: Vec<Scored> = candidates
            .incidents
            .iter()
            .filter(|candidate| search.about != About::Incident(candidate.id))
            .map(|candidate| {
                let recency = search.half_life.map(|half_life| {
                    let age = (now - candidate.action_timestamp).num_milliseconds().max(0) as f64; // below 2^53
                    0.5f64.powf(age / half_life.as_millis() as f64) // as above
                });
                let score = candidates.patterns[candidate.pattern].score * recency.unwrap_or(1.0);
                Scored { candidate: *candidate, score, recency }
            })
            .collect();
        scored.sort_by(|a, b| {
            let newer =
                (b.candidate.action_timestamp, b.candidate.id).cmp(&(a.candidate.action_timestamp, a.candidate.id));
            let nearer = b.candidate.similarity.total_cmp(&a.candidate.similarity);
            let local = b.candidate.is_local.cmp(&a.candidate.is_local);
            b.score.total_cmp(&a.score).then(local).then(nearer).then(newer)
        });
        scored
    }

    /// The first of them that fit the filter as the incidents are now, or were then. Those of equal score are ordered by place: where they
    /// are as many as there are in one place, all of these are looked at.
    async fn fitting(
        &self,
        scored: Vec<Scored>,
        search: &Search,
        place: &Place,
        enough: usize,
    ) -> Result<Vec<(Scored, FoundIncident)>, ActorError> {
        let mut fitting: Vec<(Scored, FoundIncident)> = Vec::new();
        let mut scored = scored.into_iter().peekable();
        let is_tie = |fitting: &[(Scored, FoundIncident)], next: &Scored| {
            next.candidate.is_local && fitting.last().map(|(last, _)| last.score) == Some(next.score)
        };
        while scored.peek().is_some_and(|next| fitting.len() < enough || is_tie(&fitting, next)) {
            let part: Vec<Scored> = scored.by_ref().take(AT_ONCE.min(enough + enough / 4)).collect();
            let ids: Vec<(i64, DateTime<Utc>)> =
                part.iter().map(|scored| (scored.candidate.id, scored.candidate.action_timestamp)).collect();
            let ask = FindIncidents {
                ids,
                filter: search.filter.clone(),
                as_of: search.as_of,
                recurrence_window: self.settings.recurrence_window,
            };
            let found = self.query.read(ask).await?;
            let mut found: HashMap<i64, FoundIncident> = found.into_iter().map(|found| (found.id, found)).collect();
            fitting.extend(part.into_iter().filter_map(|scored| {
                let incident = found.remove(&scored.candidate.id)?;
                Some((scored, incident))
            }));
        }
        // Stable: what is as near by place stays in its order.
        fitting.sort_by(|(a, found_a), (b, found_b)| {
            let nearer = b.candidate.similarity.total_cmp(&a.candidate.similarity);
            let closer = closeness(place, &found_b.place).cmp(&closeness(place, &found_a.place));
            b.score.total_cmp(&a.score).then(closer).then(nearer)
        });
        fitting.truncate(enough);
        Ok(fitting)
    }
}

/// The filter, and the place of the incident that is asked about, where these go together. Of the past the vector store knows no places.
pub(super) fn local(search: &Search, place: &Place) -> Option<IncidentFilter> {
    if search.as_of.is_some() || search.half_life.is_some() {
        return None;
    }
    search.filter.in_place(place.namespace.as_deref()?, place.cluster.as_deref()?)
}
