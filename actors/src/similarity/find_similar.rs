use super::coverage::{Coverage, StoreCounts};
use super::harvest::Candidate;
use super::look::Candidates;
use super::plan::{Plan, QueryVector, Reach, Scope};
use super::rank::Wanted;
use super::score::Why;
use super::summary::Summary;
use super::{Parts, SimilarityActor};
use crate::db::pool::Pool;
use crate::domain::audit_text::AuditText;
use crate::domain::bucket::Bucket;
use crate::domain::cursor::Order;
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::Outcome;
use crate::domain::search::{About, MAX_LIMIT, Search};
use crate::embedder::{Embed, Embedding, Space};
use crate::error::ActorError;
use crate::query::{
    DescribeIncident, FindIncidents, FoundIncident, Incident, IncidentDescription, ListIncidents, PageStart, Place,
};
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Asks for incidents that are alike, best first.
#[derive(Message)]
#[rtype(result = "Result<Similar, ActorError>")]
pub struct FindSimilar(pub Search);

#[derive(Debug, Serialize)]
pub struct Similar {
    pub data: Vec<Hit>,
    /// Of the best hits, also of those beyond the limit.
    pub summary: Summary,
    pub coverage: Coverage,
}

/// An incident that is alike.
#[derive(Debug, Serialize)]
pub struct Hit {
    /// The list's fields.
    #[serde(flatten)]
    pub incident: Incident,
    /// max(0, cosine) of the vectors.
    pub similarity: f64,
    /// What hits are ordered by, 0…1.
    pub score: f64,
    pub outcome: Outcome,
    pub why: Vec<Why>,
}

/// Incidents that the summary is made of, at most: the best that fit.
const SUMMED_UP: usize = 50;
/// How far to look, round after round, until there are enough that fit: patterns, incidents of each (the best alone may have all hits, and
/// some that fit no more), and incidents of all, whatever the limit: a shorter list is the beginning of a longer.
const REACHES: [(i64, i64, usize); 3] =
    [(1_000, 125, MAX_LIMIT + 25), (2_000, 1_000, 40 * MAX_LIMIT), (100_000, 20_000, usize::MAX)];
/// Incidents that are asked for at once.
const AT_ONCE: usize = 100;

impl Handler<FindSimilar> for SimilarityActor {
    type Result = ResponseFuture<Result<Similar, ActorError>>;

    fn handle(&mut self, message: FindSimilar, _: &mut Self::Context) -> Self::Result {
        let (parts, pool) = (self.parts.clone(), self.pool());
        Box::pin(async move { parts.find(&pool?, message.0).await })
    }
}

/// A candidate and its score.
struct Scored {
    candidate: Candidate,
    score: f64,
    recency: Option<f64>,
}

/// What was found: the candidates of the last look, and the best incidents among them that fit.
struct Gathered {
    candidates: Candidates,
    fitting: Vec<(Scored, FoundIncident)>,
    /// Whether every pattern was compared.
    is_exhaustive: bool,
}

impl Parts {
    async fn find(&self, pool: &Pool, search: Search) -> Result<Similar, ActorError> {
        let off = ActorError::Unavailable("there is no embedder: EMBEDDER is off");
        let space = self.settings.spaces.as_ref().ok_or(off)?.searched()?;
        let asked = self.describe(&search.about, search.as_of).await?;
        let embedding = self.embed(&space, &asked.text).await?;
        let counts = self.counts(pool, &space).await?;
        let min_similarity = search.min_similarity.unwrap_or(space.min_similarity);
        let searched = counts.searched;
        let coverage = |incidents: i64, exhaustive| Coverage {
            incidents,
            searched: searched.min(incidents),
            pending: (incidents - searched).max(0),
            exhaustive,
            embedder: space.id.clone(),
            min_similarity,
        };
        let Some(embedding) = embedding else {
            let coverage = coverage(self.count_incidents().await?, true);
            return Ok(Similar { data: Vec::new(), summary: Summary::default(), coverage });
        };
        let wanted = Wanted {
            embedding: &embedding,
            vector: QueryVector::new(&space, &embedding),
            scope: Scope::of(&search, min_similarity),
            local: local(&search, &asked.place),
            counts,
        };
        let (gathered, incidents) =
            futures_util::join!(self.gather(pool, &wanted, &search, &asked.place), self.count_incidents());
        let (Gathered { candidates, fitting, is_exhaustive }, incidents) = (gathered?, incidents?);
        if !is_exhaustive {
            self.sample.borrow_mut().add(embedding.clone());
        }
        let summed: Vec<&FoundIncident> = fitting.iter().map(|(_, found)| found).collect();
        let summary = Summary::of(&summed);
        let shown = fitting.into_iter().take(search.limit).collect();
        let data = self.hits(pool, &space, shown, &candidates, &asked).await?;
        Ok(Similar { data, summary, coverage: coverage(incidents, is_exhaustive) })
    }

    async fn hits(
        &self,
        pool: &Pool,
        space: &Space,
        shown: Vec<(Scored, FoundIncident)>,
        candidates: &Candidates,
        asked: &IncidentDescription,
    ) -> Result<Vec<Hit>, ActorError> {
        let pattern = |scored: &Scored| candidates.patterns[scored.candidate.pattern].id;
        let ids: Vec<Uuid> = shown.iter().map(|(scored, _)| pattern(scored)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let features = self.known.get(&mut connection, &space.id, &ids).await.map_err(ActorError::VectorStore)?;
        let hits = shown.into_iter().map(|(scored, found)| {
            let words = features.get(&pattern(&scored)).map(|features| candidates.query.shared(features.iter()));
            hit(scored, found, words.unwrap_or_default(), candidates, asked)
        });
        Ok(hits.collect())
    }

    async fn describe(&self, about: &About, as_of: Option<DateTime<Utc>>) -> Result<IncidentDescription, ActorError> {
        match about {
            About::Incident(id) => self.query.read(DescribeIncident { id: *id, as_of }).await,
            About::Text(text) => Ok(IncidentDescription {
                text: AuditText { reasoning: Some(text.clone()), ..AuditText::default() },
                ..IncidentDescription::default()
            }),
        }
    }

    async fn embed(&self, space: &Space, text: &AuditText) -> Result<Option<Arc<Embedding>>, ActorError> {
        let ask = Embed { space: space.id.clone(), texts: vec![text.clone()] };
        Ok(self.embedder.call(ask).await?.pop().flatten())
    }

    async fn counts(&self, pool: &Pool, space: &Space) -> Result<StoreCounts, ActorError> {
        let known = self.counts.borrow().clone();
        if known.are_fresh(&space.id) {
            return Ok(known);
        }
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let take = StoreCounts::take(&mut connection, &space.id, Bucket::of("").get());
        let counts = take.await.map_err(ActorError::VectorStore)?;
        *self.counts.borrow_mut() = counts.clone();
        Ok(counts)
    }

    async fn count_incidents(&self) -> Result<i64, ActorError> {
        let filter = IncidentFilter::default();
        let page = self
            .query
            .read(ListIncidents { filter, order: Order::Newest, limit: 1, start: PageStart::Offset(0), total: true })
            .await?;
        Ok(page.total.unwrap_or(0))
    }

    /// The best incidents that fit, more and more of them until there are enough or no others. No connection of the vector store is
    /// held while the incidents are read: the two pools never wait for each other.
    async fn gather(
        &self,
        pool: &Pool,
        wanted: &Wanted<'_>,
        search: &Search,
        place: &Place,
    ) -> Result<Gathered, ActorError> {
        let mut plan = self.plan(pool, wanted).await?;
        let kind = if plan.is_exhaustive() { "exhaustive" } else { "index" };
        self.metrics.searches_total.with_label_values(&[kind]).inc();
        let enough = search.limit.max(SUMMED_UP);
        let mut last = None;
        // Where age counts, a less alike pattern may be the better one: the nearest alone will not do.
        let reaches = if search.half_life.is_some() { &REACHES[1..] } else { &REACHES[..] };
        for (patterns, incidents, enough_of_all) in reaches.iter().copied() {
            let reach = Reach {
                patterns,
                incidents,
                // Where age counts, an incident of a less alike pattern may come before one of a better.
                enough: search.half_life.is_none().then_some(enough_of_all),
            };
            let candidates = self.look(pool, wanted, plan, reach).await?;
            let scored = self.score(&candidates, search);
            let fitting = self.fitting(scored, search, place, enough).await?;
            let is_done = candidates.is_complete || fitting.len() >= enough;
            // What was not found although it may be there was not searched.
            let is_exhaustive = plan.is_exhaustive() && is_done;
            last = Some(Gathered { candidates, fitting, is_exhaustive });
            if is_done {
                break;
            }
            if !wanted.scope.is_unfiltered() {
                // What is near does not fit: those that fit are compared, however many they are.
                plan = Plan::OfMatching;
            }
        }
        last.ok_or(ActorError::Internal)
    }

    async fn plan(&self, pool: &Pool, wanted: &Wanted<'_>) -> Result<Plan, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let (is_sparse, counts) = (wanted.vector.sparse.is_some(), &wanted.counts);
        let plan = Plan::choose(&mut connection, &wanted.scope, is_sparse, counts.patterns, counts.searched);
        plan.await.map_err(ActorError::VectorStore)
    }

    async fn look(&self, pool: &Pool, wanted: &Wanted<'_>, plan: Plan, reach: Reach) -> Result<Candidates, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        wanted.look(&mut connection, self, plan, reach).await.map_err(ActorError::VectorStore)
    }

    /// Best first; of two with the same score the nearer, of two as near the one that happened in the place that is asked about, and then the
    /// newer.
    fn score(&self, candidates: &Candidates, search: &Search) -> Vec<Scored> {
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
            b.score.total_cmp(&a.score).then(nearer).then(local).then(newer)
        });
        scored
    }

    /// The first of them that fit the filter as the incidents are now, or were then. Those of equal score and similarity are ordered by
    /// place: where they are as many as there are in one place, all of these are looked at.
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
            let last = fitting.last().map(|(last, _)| (last.score, last.candidate.similarity));
            next.candidate.is_local && last == Some((next.score, next.candidate.similarity))
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
            b.score.total_cmp(&a.score).then(nearer).then(closer)
        });
        fitting.truncate(enough);
        Ok(fitting)
    }
}

/// The filter, and the place of the incident that is asked about, where these go together. Of the past the vector store knows no places.
fn local(search: &Search, place: &Place) -> Option<IncidentFilter> {
    if search.as_of.is_some() || search.half_life.is_some() {
        return None;
    }
    search.filter.in_place(place.namespace.as_deref()?, place.cluster.as_deref()?)
}

/// Whether two incidents have the same target, namespace and cluster, by what is known of both.
fn closeness(a: &Place, b: &Place) -> (bool, bool, bool) {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    (same(&a.workload, &b.workload), same(&a.namespace, &b.namespace), same(&a.cluster, &b.cluster))
}

fn hit(
    scored: Scored,
    found: FoundIncident,
    terms: Vec<String>,
    candidates: &Candidates,
    asked: &IncidentDescription,
) -> Hit {
    let mut why = Vec::new();
    if let Some(name) = &found.alert_name {
        if asked.text.alert_name.as_ref() == Some(name) {
            why.push(Why::AlertName { detail: "same alert" });
        } else if candidates.query.has(&name.to_ascii_lowercase()) {
            why.push(Why::AlertName { detail: "alert named in the query" });
        }
    }
    if !terms.is_empty() {
        why.push(Why::Text { terms });
    }
    let (is_same_target, is_same_namespace, is_same_cluster) = closeness(&asked.place, &found.place);
    if is_same_target {
        why.push(Why::Target { detail: "same target" });
    }
    match (is_same_namespace, is_same_cluster) {
        (true, true) => why.push(Why::Place { detail: "same namespace and cluster" }),
        (true, false) => why.push(Why::Place { detail: "same namespace" }),
        (false, true) => why.push(Why::Place { detail: "same cluster" }),
        (false, false) => {}
    }
    if let Some(factor) = scored.recency {
        why.push(Why::Recency { factor: round(factor) });
    }
    Hit {
        outcome: found.outcome(),
        incident: found.incident,
        similarity: round(scored.candidate.similarity),
        score: round(scored.score),
        why,
    }
}

/// Six digits behind the point.
fn round(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}
