//! Why an incident is among the hits, or is not.

use super::Parts;
use super::ask::Question;
use super::plan::{LIMIT, Plan, Reach};
use super::rank::Wanted;
use super::score::round;
use crate::db::pool::Pool;
use crate::domain::bucket::Bucket;
use crate::domain::search::{About, Search};
use crate::embedder::Embed;
use crate::error::ActorError;
use crate::query::{DescribeIncident, FindIncidents};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Explanation {
    pub id: i64,
    #[serde(flatten)]
    pub reason: ExplainedBy,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ExplainedBy {
    /// It is shown in this place (from 1), or the hit there stands for it.
    Hit {
        rank: usize,
        score: f64,
        similarity: f64,
    },
    /// It does not fit this filter. An incident does not fit a search for what is like itself.
    Filter {
        filter: &'static str,
    },
    /// It is less alike than a hit must be.
    Threshold {
        similarity: f64,
        min_similarity: f64,
    },
    /// Others are more alike: its place among all hits (from 1), and how many were asked for.
    Rank {
        rank: Option<usize>,
        score: Option<f64>,
        similarity: f64,
        limit: usize,
    },
    /// There is nothing in it to embed, or nothing in the query.
    NoText,
    /// It is not embedded yet.
    Pending,
    /// Only another embedder has embedded it.
    OtherEmbedder,
    NotFound,
}

/// Where an incident stands among the hits, also beyond those that were asked for.
pub(super) struct HitPlace {
    /// From 1.
    pub rank: usize,
    pub score: f64,
    pub similarity: f64,
}

/// All patterns, and as many incidents as a search can hold.
const FARTHEST: Reach = Reach { patterns: 100_000, estimated: 100_000, incidents: 20_000, enough: None };

impl Parts {
    pub(super) async fn explain(
        &self,
        pool: &Pool,
        search: &Search,
        asked: &Question,
        wanted: Option<&Wanted<'_>>,
        place: Option<HitPlace>,
    ) -> Result<Option<Explanation>, ActorError> {
        let Some(id) = search.explain else { return Ok(None) };
        let reason = match place {
            Some(HitPlace { rank, score, similarity }) if rank <= search.limit => {
                ExplainedBy::Hit { rank, score: round(score), similarity: round(similarity) }
            }
            Some(HitPlace { rank, score, similarity }) => {
                let (rank, score) = (Some(rank), Some(round(score)));
                ExplainedBy::Rank { rank, score, similarity: round(similarity), limit: search.limit }
            }
            None => self.why_not(pool, search, asked, wanted, id).await?,
        };
        Ok(Some(Explanation { id, reason }))
    }

    async fn why_not(
        &self,
        pool: &Pool,
        search: &Search,
        asked: &Question,
        wanted: Option<&Wanted<'_>>,
        id: i64,
    ) -> Result<ExplainedBy, ActorError> {
        let described = match self.query.read(DescribeIncident { id, as_of: search.as_of }).await {
            Err(ActorError::NotFound) => return Ok(ExplainedBy::NotFound),
            described => described?,
        };
        if search.about == About::Incident(id) {
            return Ok(ExplainedBy::Filter { filter: "incident_id" });
        }
        for (filter, part) in search.filter.parts() {
            let ask = FindIncidents {
                ids: vec![(id, described.action_timestamp)],
                filter: part,
                as_of: search.as_of,
                recurrence_window: self.settings.recurrence_window,
            };
            if self.query.read(ask).await?.is_empty() {
                return Ok(ExplainedBy::Filter { filter });
            }
        }
        let Some(wanted) = wanted else { return Ok(ExplainedBy::NoText) };
        let nearest = match self.vectors_of(pool, wanted, id).await? {
            Vectors { nearest: Some(similarity), .. } => similarity.clamp(0.0, 1.0),
            Vectors { of_others: true, .. } => return Ok(ExplainedBy::OtherEmbedder),
            _ => {
                let embed = Embed { space: asked.space.clone(), texts: vec![described.text] };
                let is_silent = self.embedder.call(embed).await?.pop().flatten().is_none();
                return Ok(if is_silent { ExplainedBy::NoText } else { ExplainedBy::Pending });
            }
        };
        let (similarity, min_similarity) = (round(nearest), wanted.scope.min_similarity);
        if nearest < min_similarity {
            return Ok(ExplainedBy::Threshold { similarity, min_similarity });
        }
        let candidates = self.look(pool, wanted, Plan::OfMatching, FARTHEST).await?;
        let scored = self.score(&candidates, search);
        let place = scored.iter().position(|scored| scored.candidate.id == id);
        if place.is_none() && candidates.is_complete {
            // Its vector is near by chance: no word of it is in the query.
            return Ok(ExplainedBy::Threshold { similarity: 0.0, min_similarity });
        }
        let score = place.map(|at| round(scored[at].score));
        Ok(ExplainedBy::Rank { rank: place.map(|at| at + 1), score, similarity, limit: search.limit })
    }

    async fn vectors_of(&self, pool: &Pool, wanted: &Wanted<'_>, id: i64) -> Result<Vectors, ActorError> {
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let read = connection.autocommit("similarity.read_vectors_of", LIMIT, async |tx| {
            let statement = tx.prepare(include_str!("read_vectors_of.sql")).await?;
            let bucket = Bucket::of_incident(id).get();
            tx.client().query_one(&statement, &[&bucket, &id, &wanted.vector.embedder, &wanted.vector.dense]).await
        });
        let row = read.await.map_err(ActorError::VectorStore)?;
        Ok(Vectors { nearest: row.get("nearest"), of_others: row.get("of_others") })
    }
}

/// The vectors of an incident.
struct Vectors {
    /// The similarity of the nearest one.
    nearest: Option<f64>,
    /// Whether another embedder has made some.
    of_others: bool,
}
