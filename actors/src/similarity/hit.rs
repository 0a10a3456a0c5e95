//! A hit, and why it is one.

use super::Parts;
use super::ask::Question;
use super::collapse::{Alike, Shown};
use super::gather::Scored;
use super::look::Candidates;
use super::score::{Why, round};
use crate::db::pool::Pool;
use crate::domain::outcome::Outcome;
use crate::error::ActorError;
use crate::query::{FoundIncident, Incident, IncidentText, Place, ReadTexts};
use serde::Serialize;
use std::collections::HashMap;
use uuid::Uuid;

/// An incident that is alike.
#[derive(Debug, Serialize)]
pub struct Hit {
    #[serde(skip)]
    pub id: i64,
    /// The list's fields.
    #[serde(flatten)]
    pub incident: Incident,
    /// max(0, cosine) of the vectors.
    pub similarity: f64,
    /// What hits are ordered by, 0…1.
    pub score: f64,
    pub outcome: Outcome,
    pub why: Vec<Why>,
    /// What was written about it, where that is asked for.
    #[serde(flatten)]
    pub text: Option<IncidentText>,
    /// How many incidents it stands for, where those that are alike are one hit.
    #[serde(flatten)]
    pub alike: Option<Alike>,
}

impl Parts {
    pub(super) async fn hits(
        &self,
        pool: &Pool,
        shown: Vec<Shown>,
        candidates: &Candidates,
        asked: &Question,
        include_text: bool,
    ) -> Result<Vec<Hit>, ActorError> {
        let pattern = |scored: &Scored| candidates.patterns[scored.candidate.pattern].id;
        let ids: Vec<Uuid> = shown.iter().map(|(scored, ..)| pattern(scored)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut texts = match include_text {
            true => self.texts(&shown, asked).await?,
            false => HashMap::new(),
        };
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let features = self.known.get(&mut connection, &asked.space, &ids).await.map_err(ActorError::VectorStore)?;
        let hits = shown.into_iter().map(|(scored, found, alike)| {
            let terms = features.get(&pattern(&scored)).map(|features| candidates.query.shared(features.iter()));
            let text = include_text.then(|| texts.remove(&found.id).unwrap_or_default());
            let words = asked.written(terms.unwrap_or_default());
            hit(scored, found, words, candidates, asked, alike, text)
        });
        Ok(hits.collect())
    }

    async fn texts(&self, shown: &[Shown], asked: &Question) -> Result<HashMap<i64, IncidentText>, ActorError> {
        let ids = shown.iter().map(|(_, found, _)| found.id).collect();
        self.query.read(ReadTexts { ids, as_of: asked.as_of }).await
    }
}

/// Whether two incidents have the same target, namespace and cluster, by what is known of both.
pub(super) fn closeness(a: &Place, b: &Place) -> (bool, bool, bool) {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    (same(&a.workload, &b.workload), same(&a.namespace, &b.namespace), same(&a.cluster, &b.cluster))
}

fn hit(
    scored: Scored,
    found: FoundIncident,
    terms: Vec<String>,
    candidates: &Candidates,
    asked: &Question,
    alike: Option<Alike>,
    text: Option<IncidentText>,
) -> Hit {
    let asked = &asked.description;
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
        id: found.id,
        outcome: found.outcome(),
        incident: found.incident,
        similarity: round(scored.candidate.similarity),
        score: round(scored.score),
        why,
        text,
        alike,
    }
}
