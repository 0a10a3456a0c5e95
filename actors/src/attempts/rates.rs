//! Success rates from the attempts in memory.

use super::groups::{Groups, NONE};
use super::held::{AttemptSlot, AttemptTable, End};
use crate::domain::dimension::Dimension;
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::Tally;
use crate::domain::walk::WalkCursor;
use serde_json::{Map, Value};

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct RateQuestion {
    /// But for the request.
    pub filter: IncidentFilter,
    /// Only attempts of this one, where that is set: 0 is none.
    pub incident: Option<i64>,
    pub group_by: Vec<&'static Dimension>,
    pub limit: usize,
    pub after: Option<WalkCursor>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Rates {
    /// Those of most attempts first.
    pub groups: Vec<Rate>,
    pub next: Option<WalkCursor>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Rate {
    /// The values of the dimensions, under their names.
    pub group: Map<String, Value>,
    pub tally: Tally,
    /// In milliseconds.
    pub median_duration: Option<f64>,
}

impl AttemptTable {
    /// The rates of the attempts that fit.
    pub(crate) fn rates(&self, asked: &RateQuestion) -> Rates {
        let mut groups = Groups::new(&self.facts, &asked.filter, &asked.group_by);
        let mut tallies: Vec<Tally> = Vec::new();
        let mut counted: Vec<(u32, u32)> = Vec::new();
        let mut count = |at: u32, slot: &AttemptSlot| {
            let attempt = &slot.attempt;
            if attempt.end == End::Open {
                return;
            }
            let Some(group) = groups.of(attempt.facts, attempt.time) else { return };
            if group as usize == tallies.len() {
                tallies.push(Tally::default());
            }
            let tally = &mut tallies[group as usize];
            match attempt.end {
                _ if slot.recurred => tally.recurred += 1,
                End::Completed => tally.completed += 1,
                End::Failed | End::Open => tally.failed += 1,
            }
            counted.push((at, group));
        };
        match asked.incident {
            Some(incident) => self.of_incident(incident, &asked.filter, &mut count),
            None => self.fitting(&asked.filter, &mut count),
        }
        let number = |group: u32| i64::try_from(tallies[group as usize].n()).unwrap_or(i64::MAX);
        let (chosen, next) = groups.most(&number, asked.limit, asked.after.as_ref());
        let medians = self.medians(&chosen, &counted, tallies.len());
        let rate = |(group, median_duration): (&u32, Option<f64>)| Rate {
            group: groups.values(*group),
            tally: tallies[*group as usize],
            median_duration,
        };
        Rates { groups: chosen.iter().zip(medians).map(rate).collect(), next }
    }

    /// The median of the durations that are known, of each of these groups.
    fn medians(&self, chosen: &[u32], counted: &[(u32, u32)], groups: usize) -> Vec<Option<f64>> {
        let mut place_of_group = vec![NONE; groups];
        for (place, group) in (0..).zip(chosen) {
            place_of_group[*group as usize] = place;
        }
        let mut durations: Vec<Vec<i64>> = vec![Vec::new(); chosen.len()];
        for (at, group) in counted {
            let place = place_of_group[*group as usize];
            let duration = self.slots[*at as usize].attempt.duration;
            if place != NONE && duration >= 0 {
                durations[place as usize].push(duration);
            }
        }
        durations.iter_mut().map(|durations| median(durations)).collect()
    }
}

/// As PostgreSQL's `percentile_cont(0.5)`.
fn median(durations: &mut [i64]) -> Option<f64> {
    let (number, middle) = (durations.len(), durations.len() / 2);
    if number == 0 {
        return None;
    }
    let (lower, upper, _) = durations.select_nth_unstable(middle);
    let upper = *upper as f64; // milliseconds, below 2^53
    match lower.iter().max() {
        Some(lower) if number % 2 == 0 => {
            let lower = *lower as f64; // as above
            Some(lower + (upper - lower) * 0.5)
        }
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [7]), Some(7.0));
        assert_eq!(median(&mut [9, 1, 4]), Some(4.0));
        assert_eq!(median(&mut [9, 1, 4, 6]), Some(5.0));
        assert_eq!(median(&mut [5, 2]), Some(3.5));
    }
}
