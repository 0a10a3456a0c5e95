//! One hit for incidents that are alike.

use super::gather::Scored;
use super::hit::Shown;
use crate::domain::outcome::Outcome;
use crate::domain::search::Collapse;
use crate::query::FoundIncident;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What a hit stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Alike {
    /// Itself included.
    pub alike: usize,
    /// How many of them ended in which way.
    pub outcomes: BTreeMap<Outcome, usize>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Pattern(usize),
    Alert(&'a str),
    /// An incident whose alert is not known is like no other.
    Itself(i64),
}

/// The incidents that are shown, at most `limit`, best first. Of those that are alike the newest is shown, in the place of the best.
pub(super) fn collapsed(fitting: Vec<(Scored, FoundIncident)>, collapse: Collapse, limit: usize) -> Vec<Shown> {
    if collapse == Collapse::None {
        return fitting.into_iter().take(limit).map(|(scored, found)| (scored, found, None)).collect();
    }
    let (mut places, mut groups): (HashMap<Key<'_>, usize>, Vec<(usize, Alike)>) = (HashMap::new(), Vec::new());
    for (at, (scored, found)) in fitting.iter().enumerate() {
        let key = match (collapse, &found.alert_name) {
            (Collapse::Alert, Some(name)) => Key::Alert(name),
            (Collapse::Alert, None) => Key::Itself(found.id),
            _ => Key::Pattern(scored.candidate.pattern),
        };
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((at, Alike::default()));
            groups.len() - 1
        });
        let (newest, alike) = &mut groups[place];
        let time = |at: usize| (fitting[at].0.candidate.action_timestamp, fitting[at].0.candidate.id);
        if time(at) > time(*newest) {
            *newest = at;
        }
        alike.alike += 1;
        *alike.outcomes.entry(found.outcome()).or_default() += 1;
    }
    groups.truncate(limit);
    let mut fitting: Vec<Option<(Scored, FoundIncident)>> = fitting.into_iter().map(Some).collect();
    let shown = groups.into_iter().filter_map(|(newest, alike)| {
        let (scored, found) = fitting[newest].take()?;
        Some((scored, found, Some(alike)))
    });
    shown.collect()
}
