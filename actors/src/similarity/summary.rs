//! What worked, and what did not.

use crate::domain::outcome::Tally;
use crate::query::FoundIncident;
use serde::Serialize;
use std::collections::BTreeMap;

/// The actions that similar incidents tell of.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Actions that worked at least once and are not proven bad, the surest first.
    pub worked: Vec<Action>,
    /// Actions that never worked in at least two tries, or whose success rate is below one half with 95 % certainty; the worst first.
    pub do_not_repeat: Vec<Action>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    pub action_type: String,
    pub completed: u64,
    pub failed: u64,
    pub recurred: u64,
    pub n: u64,
    pub success_rate: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// Tries that must have failed, all of them, before an action is advised against.
const FAILED: u64 = 2;

impl Summary {
    pub fn of(incidents: &[&FoundIncident]) -> Self {
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for incident in incidents {
            for attempt in &incident.attempts {
                if let Some(action) = &attempt.action_type {
                    tallies.entry(action).or_default().count(attempt.outcome);
                }
            }
        }
        let mut summary = Summary::default();
        for (action, tally) in tallies {
            let interval = tally.interval();
            let bad = tally.completed == 0 && tally.n() >= FAILED || interval.is_some_and(|[_, high]| high < 0.5);
            let list = match tally.completed {
                _ if bad => &mut summary.do_not_repeat,
                0 => continue,
                _ => &mut summary.worked,
            };
            list.push(Action {
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
