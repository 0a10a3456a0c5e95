//! How many incidents fit a filter, from their attempts in memory: for facts that have too many values to be counted by (`totals/`).

use super::groups::{Groups, fitting};
use super::held::{AttemptSlot, AttemptTable, NO_INCIDENT};
use crate::domain::dimension::{Dimension, STATUS};
use crate::domain::facts::{ONLY_FILTERED, only_filtered};
use crate::domain::filter::{IncidentFilter, TimeBound};
use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use std::ops::Range;

/// The incidents of one group and one period that have one status.
#[derive(Debug, PartialEq)]
pub(crate) struct GroupCount {
    /// The start of the period.
    pub time: DateTime<Utc>,
    /// The values of the dimensions.
    pub values: Vec<Option<String>>,
    pub status: Option<String>,
    pub count: i64,
}

/// What a filter asks for beside the facts that attempts are told apart by.
struct OtherFacts {
    times: Range<i64>,
    /// The digests that each of the other facts may have; none where any will do.
    digests: [Vec<u64>; ONLY_FILTERED],
}

impl AttemptTable {
    /// Calls `take` with the slots whose times fit the filter, and whose facts that are only filtered by.
    pub(super) fn fitting(&self, filter: &IncidentFilter, take: &mut impl FnMut(u32, &AttemptSlot)) {
        let asked = self.asked(filter);
        (0..).zip(&self.slots).filter(|(at, _)| self.fits(&asked, *at)).for_each(|(at, slot)| take(at, slot));
    }

    /// The same of one incident.
    pub(super) fn of_incident(&self, incident: i64, filter: &IncidentFilter, take: &mut impl FnMut(u32, &AttemptSlot)) {
        let asked = self.asked(filter);
        self.slots_of(incident).filter(|at| self.fits(&asked, *at)).for_each(|at| take(at, &self.slots[at as usize]));
    }

    fn asked(&self, filter: &IncidentFilter) -> OtherFacts {
        let bound = |bound: Option<TimeBound>| bound.map(|bound| bound.at.timestamp_micros());
        let mut digests: [Vec<u64>; ONLY_FILTERED] = Default::default();
        for (digests, fact) in digests.iter_mut().zip(only_filtered()) {
            *digests = filter.values_of(fact).iter().map(|text| self.digest(Some(text))).collect();
        }
        OtherFacts { times: bound(filter.since).unwrap_or(i64::MIN)..bound(filter.until).unwrap_or(i64::MAX), digests }
    }

    fn fits(&self, asked: &OtherFacts, at: u32) -> bool {
        let (at, incidents) = (at as usize, &self.incidents);
        let fits = |(column, wanted): (&Vec<u64>, &Vec<u64>)| wanted.is_empty() || wanted.contains(&column[at]);
        self.slots[at].is_used
            && asked.times.contains(&incidents.times[at])
            && incidents.digests.iter().zip(&asked.digests).all(fits)
    }

    /// Calls `take` with the slots and facts of the incidents whose times fit the filter, and whose facts that are only filtered by.
    fn incidents(&self, filter: &IncidentFilter, take: &mut impl FnMut(usize, u32)) {
        let (asked, incidents) = (self.asked(filter), &self.incidents);
        let is_timed = asked.times != (i64::MIN..i64::MAX);
        let mut take = |at: usize, facts: u32| {
            if facts != NO_INCIDENT && (!is_timed || asked.times.contains(&incidents.times[at])) {
                take(at, facts);
            }
        };
        let facts = incidents.facts.iter().copied().enumerate();
        let [first, second] = &incidents.digests;
        match [&asked.digests[0][..], &asked.digests[1][..]] {
            [[], []] => facts.for_each(|(at, facts)| take(at, facts)),
            // The usual ones, and the quickest.
            [[digest], []] => {
                facts.zip(first).filter(|(_, has)| *has == digest).for_each(|((at, facts), _)| take(at, facts))
            }
            [[], [digest]] => {
                facts.zip(second).filter(|(_, has)| *has == digest).for_each(|((at, facts), _)| take(at, facts))
            }
            [of_first, of_second] => {
                let fits = |wanted: &[u64], has: &u64| wanted.is_empty() || wanted.contains(has);
                let all = facts.zip(first).zip(second);
                let fitting = all.filter(|((_, a), b)| fits(of_first, a) && fits(of_second, b));
                fitting.for_each(|(((at, facts), _), _)| take(at, facts));
            }
        }
    }

    /// How many incidents fit.
    pub(crate) fn count(&self, filter: &IncidentFilter) -> i64 {
        let fitting = fitting(&self.facts, filter);
        let mut count = 0;
        self.incidents(filter, &mut |_, facts| count += i64::from(fitting.has(facts)));
        count
    }

    /// How many incidents that fit have each value of these facts, which attempts are told apart by, fact by fact.
    pub(crate) fn count_values(&self, filter: &IncidentFilter, places: &[usize]) -> Vec<HashMap<&str, i64>> {
        let fitting = fitting(&self.facts, filter);
        let mut by_facts = vec![0i64; self.facts.len()];
        self.incidents(filter, &mut |_, facts| by_facts[facts as usize] += i64::from(fitting.has(facts)));
        let of_place = |place: &usize| {
            let mut by_value: HashMap<&str, i64> = HashMap::new();
            for (facts, count) in (0..).zip(&by_facts).filter(|(_, count)| **count > 0) {
                if let Some(value) = self.facts.text(facts, *place) {
                    *by_value.entry(value).or_default() += count;
                }
            }
            by_value
        };
        places.iter().map(of_place).collect()
    }

    /// How many incidents that fit there are by period, group and status.
    pub(crate) fn count_groups(
        &self,
        filter: &IncidentFilter,
        interval: &'static Dimension,
        group_by: &[&'static Dimension],
    ) -> Vec<GroupCount> {
        let dimensions: Vec<&'static Dimension> =
            [interval, &STATUS].into_iter().chain(group_by.iter().copied()).collect();
        let mut groups = Groups::new(&self.facts, filter, &dimensions);
        let mut counts: Vec<i64> = Vec::new();
        self.incidents(filter, &mut |at, facts| {
            let Some(group) = groups.of(facts, self.incidents.times[at]) else { return };
            if group as usize == counts.len() {
                counts.push(0);
            }
            counts[group as usize] += 1;
        });
        let text = |group: u32, at: usize| groups.key(group, at).map(str::to_owned);
        let group = |(group, count): (u32, i64)| {
            Some(GroupCount {
                time: groups.start(group, 0)?,
                values: (2..dimensions.len()).map(|at| text(group, at)).collect(),
                status: text(group, 1),
                count,
            })
        };
        (0..).zip(counts).filter_map(group).collect()
    }
}
