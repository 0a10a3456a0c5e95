use super::collapse::collapsed;
use super::coverage::{CountsAge, Coverage, StoreCounts};
use super::explain::{Explanation, HitPlace};
use super::gather::{Gathered, local};
use super::hit::Hit;
use super::plan::{QueryVector, Scope};
use super::rank::Wanted;
use super::summary::Summary;
use super::{Parts, SimilarityActor};
use crate::db::pool::Pool;
use crate::domain::bucket::Bucket;
use crate::domain::cursor::Order;
use crate::domain::filter::IncidentFilter;
use crate::domain::search::Search;
use crate::embedder::Space;
use crate::error::ActorError;
use crate::query::{ListIncidents, PageStart};
use actix::prelude::*;
use serde::Serialize;
use std::rc::Rc;

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
    /// Why an incident is a hit or not, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

impl Handler<FindSimilar> for SimilarityActor {
    type Result = ResponseFuture<Result<Similar, ActorError>>;

    fn handle(&mut self, message: FindSimilar, _: &mut Self::Context) -> Self::Result {
        let (parts, pool) = (self.parts.clone(), self.pool());
        Box::pin(async move { parts.find(&pool?, message.0).await })
    }
}

impl Parts {
    async fn find(self: &Rc<Self>, pool: &Pool, search: Search) -> Result<Similar, ActorError> {
        let off = ActorError::Unavailable("there is no embedder: EMBEDDER is off");
        let space = self.settings.spaces.as_ref().ok_or(off)?.searched()?;
        let counts = self.counts(pool, &space).await?;
        let asked = self.ask(pool, &space, &search, &counts).await?;
        let min_similarity = search.min_similarity.unwrap_or(space.min_similarity);
        let coverage = |incidents: i64, exhaustive| {
            let (query_terms, known_terms) = asked.known_terms();
            let searched = counts.searched.min(incidents);
            let without_text = counts.without_text.min(incidents - searched);
            Coverage {
                incidents,
                searched,
                pending: incidents - searched - without_text,
                without_text,
                query_terms,
                known_terms,
                exhaustive,
                embedder: space.id.clone(),
                min_similarity,
            }
        };
        let Some(embedding) = asked.embedding.as_deref() else {
            let coverage = coverage(self.count_incidents().await?, true);
            let explain = self.explain(pool, &search, &asked, None, None).await?;
            return Ok(Similar { data: Vec::new(), summary: Summary::default(), coverage, explain });
        };
        let wanted = Wanted {
            embedding,
            vector: QueryVector::new(&space, embedding),
            scope: Scope::of(&search, min_similarity),
            local: local(&search, &asked.description.place),
            frequencies: &asked.frequencies,
            counts: counts.clone(),
        };
        let (gathered, incidents) =
            futures_util::join!(self.gather(pool, &wanted, &search, &asked.description.place), self.count_incidents());
        let (Gathered { candidates, fitting, is_exhaustive }, incidents) = (gathered?, incidents?);
        if let (false, Some(query)) = (is_exhaustive, &asked.embedding) {
            self.sample.borrow_mut().add(query.clone());
        }
        let summary = self.summary(pool, &search, &wanted, &candidates, &fitting).await?;
        let mut groups = collapsed(fitting, search.collapse);
        let place = search.explain.and_then(|id| groups.iter().position(|(_, ids)| ids.contains(&id)));
        let place = place.map(|at| HitPlace {
            rank: at + 1,
            score: groups[at].0.0.score,
            similarity: groups[at].0.0.candidate.similarity,
        });
        groups.truncate(search.limit);
        let shown = groups.into_iter().map(|(shown, _)| shown).collect();
        let data = self.hits(pool, shown, &candidates, &asked, search.include_text).await?;
        let explain = self.explain(pool, &search, &asked, Some(&wanted), place).await?;
        Ok(Similar { data, summary, coverage: coverage(incidents, is_exhaustive), explain })
    }

    /// The counts of the store; where it takes long to take them anew, those of a moment ago.
    async fn counts(self: &Rc<Self>, pool: &Pool, space: &Space) -> Result<StoreCounts, ActorError> {
        let known = self.counts.borrow().clone();
        match known.age(&space.id) {
            CountsAge::Fresh => Ok(known),
            CountsAge::Due => {
                let (parts, pool, id) = (self.clone(), pool.clone(), space.id.clone());
                actix::spawn(async move {
                    if let Ok(_counting) = parts.counting.try_lock() {
                        // Where the store does not answer, a later search waits and is told.
                        _ = parts.count(&pool, &id).await;
                    }
                });
                Ok(known)
            }
            CountsAge::Old => self.count(pool, &space.id).await,
        }
    }

    async fn count(&self, pool: &Pool, space: &str) -> Result<StoreCounts, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let take = StoreCounts::take(&mut connection, space, Bucket::of("").get());
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
}
