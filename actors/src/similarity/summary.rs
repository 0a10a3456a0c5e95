//! What worked, and what did not.

use super::Parts;
use super::gather::{COUNTED, SUMMED_UP, Scored};
use super::look::Candidates;
use super::rank::Wanted;
use crate::db::pool::Pool;
use crate::domain::outcome::Tally;
use crate::domain::search::{Collapse, Search};
use crate::embedder::is_code;
use crate::error::ActorError;
use crate::query::FoundIncident;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// The actions that similar incidents tell of.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Actions that worked in at least half of their tries, the surest first.
    pub worked: Vec<Action>,
    /// Actions that never worked in at least two tries, or whose success rate is below one half with 95 % certainty; the worst first.
    pub do_not_repeat: Vec<Action>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// The incident in which it was tried last.
    #[serde(skip)]
    pub incident: i64,
    pub action_type: String,
    pub completed: u64,
    pub failed: u64,
    pub recurred: u64,
    pub n: u64,
    pub success_rate: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// What part of the best hit's score a hit must have to count: one that is less alike tells of something else.
const NEAR: f64 = 0.5;

impl Parts {
    /// The summary of the incidents that fit, as far as they are near enough to the best one and their codes are not others than the query's.
    pub(super) async fn summary(
        &self,
        pool: &Pool,
        search: &Search,
        wanted: &Wanted<'_>,
        candidates: &Candidates,
        fitting: &[(Scored, FoundIncident)],
    ) -> Result<Summary, ActorError> {
        let best = fitting.first().map_or(0.0, |(scored, _)| scored.score);
        let most = if search.collapse == Collapse::None { search.limit.max(SUMMED_UP) } else { COUNTED };
        let near = fitting.iter().take(most).filter(|(scored, _)| scored.score >= NEAR * best);
        let codes: HashSet<&str> =
            wanted.embedding.features.terms.iter().map(String::as_str).filter(|term| is_code(term)).collect();
        if codes.is_empty() {
            return Ok(Summary::of(near.map(|(_, found)| found)));
        }
        let pattern = |scored: &Scored| candidates.patterns[scored.candidate.pattern].id;
        let ids: Vec<Uuid> =
            near.clone().map(|(scored, _)| pattern(scored)).collect::<HashSet<_>>().into_iter().collect();
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let features =
            self.known.get(&mut connection, wanted.vector.embedder, &ids).await.map_err(ActorError::VectorStore)?;
        let is_other = |scored: &Scored| {
            let of_pattern = features.get(&pattern(scored)).into_iter().flat_map(|features| features.iter());
            let mut of_pattern = of_pattern.map(|(term, _)| term).filter(|term| is_code(term)).peekable();
            of_pattern.peek().is_some() && !of_pattern.any(|code| codes.contains(code))
        };
        Ok(Summary::of(near.filter(|(scored, _)| !is_other(scored)).map(|(_, found)| found)))
    }
}

/// Tries that must have failed, all of them, before an action is advised against.
const FAILED: u64 = 2;

impl Summary {
    /// Of these incidents.
    pub fn of<'a>(incidents: impl Iterator<Item = &'a FoundIncident>) -> Self {
        let mut tallies: BTreeMap<&str, (Tally, i64)> = BTreeMap::new();
        for incident in incidents {
            let incident_id = incident.id;
            for attempt in &incident.attempts {
                if let Some(action) = &attempt.action_type {
                    let (tally, incident) = tallies.entry(action).or_default();
                    tally.count(attempt.outcome);
                    *incident = (*incident).max(incident_id);
                }
            }
        }
        let mut summary = Summary::default();
        for (action, (tally, incident)) in tallies {
            let interval = tally.interval();
            let bad = tally.completed == 0 && tally.n() >= FAILED || interval.is_some_and(|[_, high]| high < 0.5);
            let list = match tally.success_rate() {
                _ if bad => &mut summary.do_not_repeat,
                Some(0.5..) => &mut summary.worked,
                _ => continue,
            };
            list.push(Action {
                incident,
                action_type: action.to_owned(),
                completed: tally.completed,
                failed: tally.failed,
                recurred: tally.recurred,
                n: tally.n(),
                success_rate: tally.success_rate(),
                interval,
            });
        }
        let bound = |action: &Action, at: usize| action.interval.map_or(0.0, |interval| interval[at]);
        summary.worked.sort_by(|a, b| bound(b, 0).total_cmp(&bound(a, 0)));
        summary.do_not_repeat.sort_by(|a, b| bound(a, 1).total_cmp(&bound(b, 1)));
        summary
    }
}
