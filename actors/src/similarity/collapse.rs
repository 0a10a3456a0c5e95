//! One hit for incidents that are alike.

use super::gather::Scored;
use crate::domain::outcome::Outcome;
use crate::domain::search::Collapse;
use crate::query::FoundIncident;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// An incident that is shown, and those that it stands for.
pub(super) type Shown = (Scored, FoundIncident, Option<Alike>);

/// What a hit stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Alike {
    /// Itself included.
    pub alike: usize,
    /// How many of them ended in which way.
    pub outcomes: BTreeMap<Outcome, usize>,
}

/// Incidents that are alike: the places of the best and of the newest, and the ids of all.
struct Group {
    best: usize,
    newest: usize,
    alike: Alike,
    ids: Vec<i64>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Pattern(usize),
    Alert(&'a str),
    /// An incident whose alert is not known is like no other.
    Itself(i64),
}

/// The hits, best first. Of incidents that are alike the newest is shown, in the place and with the score of the best; beside each hit are the
/// ids of all that it stands for.
pub(super) fn collapsed(fitting: Vec<(Scored, FoundIncident)>, collapse: Collapse) -> Vec<(Shown, Vec<i64>)> {
    if collapse == Collapse::None {
        let alone = |(scored, found): (Scored, FoundIncident)| {
            let ids = vec![found.id];
            ((scored, found, None), ids)
        };
        return fitting.into_iter().map(alone).collect();
    }
    let (mut places, mut groups): (HashMap<Key<'_>, usize>, Vec<Group>) = (HashMap::new(), Vec::new());
    for (at, (scored, found)) in fitting.iter().enumerate() {
        let key = match (collapse, &found.alert_name) {
            (Collapse::Alert, Some(name)) => Key::Alert(name),
            (Collapse::Alert, None) => Key::Itself(found.id),
            _ => Key::Pattern(scored.candidate.pattern),
        };
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { best: at, newest: at, alike: Alike::default(), ids: Vec::new() });
            groups.len() - 1
        });
        let Group { newest, alike, ids, .. } = &mut groups[place];
        ids.push(found.id);
        let time = |at: usize| (fitting[at].0.candidate.action_timestamp, fitting[at].0.candidate.id);
        if time(at) > time(*newest) {
            *newest = at;
        }
        alike.alike += 1;
        *alike.outcomes.entry(found.outcome()).or_default() += 1;
    }
    let best: Vec<(f64, f64)> = fitting.iter().map(|(scored, _)| (scored.score, scored.candidate.similarity)).collect();
    let mut fitting: Vec<Option<(Scored, FoundIncident)>> = fitting.into_iter().map(Some).collect();
    let shown = groups.into_iter().filter_map(|group| {
        let (mut scored, found) = fitting[group.newest].take()?;
        (scored.score, scored.candidate.similarity) = best[group.best];
        Some(((scored, found, Some(group.alike)), group.ids))
    });
    shown.collect()
}
