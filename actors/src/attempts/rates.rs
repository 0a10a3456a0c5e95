//! Success rates from the attempts in memory.

use super::held::{AttemptTable, End};
use super::place_of;
use crate::domain::dimension::{Dimension, DimensionKind};
use crate::domain::facts::{GROUPED, grouped, only_filtered};
use crate::domain::filter::{IncidentFilter, TimeBound};
use crate::domain::outcome::Tally;
use crate::domain::time::format_rfc3339;
use crate::domain::walk::WalkCursor;
use crate::totals::Fitting;
use chrono::{DateTime, TimeDelta, Utc};
use hashbrown::HashMap;
use serde_json::{Map, Value};
use std::cmp::Ordering;

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

const NONE: u32 = u32::MAX;
const MICROSECONDS_OF_A_DAY: i64 = 86_400_000_000;

impl AttemptTable {
    /// The rates of the attempts that fit.
    pub(crate) fn rates(&self, asked: &RateQuestion) -> Rates {
        let mut groups = Groups::new(self, asked);
        let mut counted: Vec<(u32, u32)> = Vec::new();
        let bound = |bound: Option<TimeBound>| bound.map(|bound| bound.at.timestamp_micros());
        let since = bound(asked.filter.since).unwrap_or(i64::MIN);
        let until = bound(asked.filter.until).unwrap_or(i64::MAX);
        let of_fact = |fact| asked.filter.values_of(fact).iter().map(|text| self.digest(Some(text))).collect();
        let digests: Vec<Vec<u64>> = only_filtered().map(of_fact).collect();
        let is_filtered = digests.iter().any(|wanted| !wanted.is_empty());
        let mut count = |at: u32| {
            let Some(slot) = self.slots.get(at as usize) else { return };
            let attempt = &slot.attempt;
            if !slot.is_used || attempt.end == End::Open || attempt.time < since || attempt.time >= until {
                return;
            }
            let fits = |(digest, wanted): (&u64, &Vec<u64>)| wanted.is_empty() || wanted.contains(digest);
            if is_filtered && !attempt.digests.iter().zip(&digests).all(fits) {
                return;
            }
            let Some(group) = groups.of(attempt.facts, attempt.time) else { return };
            let tally = &mut groups.tallies[group as usize];
            match attempt.end {
                _ if slot.recurred => tally.recurred += 1,
                End::Completed => tally.completed += 1,
                End::Failed | End::Open => tally.failed += 1,
            }
            counted.push((at, group));
        };
        match asked.incident {
            Some(incident) => self.slots_of(incident).for_each(&mut count),
            None => (0..self.slots.len()).filter_map(|at| u32::try_from(at).ok()).for_each(&mut count),
        }
        let (chosen, next) = groups.first();
        let medians = self.medians(&chosen, &counted, groups.tallies.len());
        let rate = |(group, median_duration): (&u32, Option<f64>)| Rate {
            group: groups.values(*group),
            tally: groups.tallies[*group as usize],
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

/// The start of a period, and its text as groups are ordered by.
type Period = (DateTime<Utc>, String);

/// The groups of a question, as they are come upon.
struct Groups<'a> {
    attempts: &'a AttemptTable,
    asked: &'a RateQuestion,
    /// Of each combination of facts the number of its texts, or none where it does not fit.
    texts_of_facts: Vec<u32>,
    /// A combination of facts that has these texts.
    facts_of_texts: Vec<u32>,
    has_periods: bool,
    /// The places of the dimensions' texts.
    columns: Vec<Option<usize>>,
    periods: Vec<Vec<Option<Period>>>,
    /// The number of the periods that have these starts, and that of those that a day is in.
    of_starts: HashMap<Vec<Option<DateTime<Utc>>>, u32>,
    of_day: HashMap<i64, u32>,
    last_day: (i64, u32),
    /// The number of a group, by those of its texts and its periods.
    numbers: HashMap<(u32, u32), u32>,
    /// The same by its texts alone, where there are no periods.
    numbers_without_periods: Vec<u32>,
    /// The texts and periods of each group.
    keys: Vec<(u32, u32)>,
    tallies: Vec<Tally>,
}

impl<'a> Groups<'a> {
    fn new(attempts: &'a AttemptTable, asked: &'a RateQuestion) -> Self {
        let facts = &attempts.facts;
        let mut values: [&[String]; GROUPED] = [&[]; GROUPED];
        for (held, fact) in values.iter_mut().zip(grouped()) {
            *held = asked.filter.values_of(fact);
        }
        let fitting = facts.fitting(&values);
        let all_columns: Vec<Option<usize>> =
            asked.group_by.iter().map(|dimension| place_of(dimension.column()?)).collect();
        let columns: Vec<usize> = all_columns.iter().copied().flatten().collect();
        let mut texts_of_facts = vec![NONE; facts.len()];
        let mut facts_of_texts = Vec::new();
        // The texts of one column are numbered by its codes, those of several by all their codes.
        let mut by_code: Vec<u32> = vec![NONE; columns.first().map_or(1, |column| facts.texts(*column) + 1)];
        let mut by_codes: HashMap<[u32; 3], u32> = HashMap::new();
        for id in 0..u32::try_from(facts.len()).unwrap_or(u32::MAX) {
            if !matches!(fitting, Fitting::All) && !fitting.has(id) {
                continue;
            }
            let mut codes = [0; 3];
            for (code, column) in codes.iter_mut().zip(&columns) {
                *code = facts.code(id, *column);
            }
            let number =
                if columns.len() < 2 { &mut by_code[codes[0] as usize] } else { by_codes.entry(codes).or_insert(NONE) };
            if *number == NONE {
                *number = u32::try_from(facts_of_texts.len()).unwrap_or(NONE);
                facts_of_texts.push(id);
            }
            texts_of_facts[id as usize] = *number;
        }
        Groups {
            attempts,
            asked,
            texts_of_facts,
            has_periods: asked.group_by.iter().any(|dimension| dimension.kind == DimensionKind::Time),
            columns: all_columns,
            periods: Vec::new(),
            of_starts: HashMap::new(),
            of_day: HashMap::new(),
            last_day: (i64::MIN, 0),
            numbers: HashMap::new(),
            numbers_without_periods: vec![NONE; facts_of_texts.len()],
            facts_of_texts,
            keys: Vec::new(),
            tallies: Vec::new(),
        }
    }

    /// The number of an attempt's group; `None` where it does not fit.
    fn of(&mut self, facts: u32, time: i64) -> Option<u32> {
        let texts = *self.texts_of_facts.get(facts as usize)?;
        if texts == NONE {
            return None;
        }
        let next = u32::try_from(self.keys.len()).unwrap_or(NONE);
        let (number, periods) = if self.has_periods {
            let periods = self.periods_of(time.div_euclid(MICROSECONDS_OF_A_DAY));
            (self.numbers.entry((texts, periods)).or_insert(next), periods)
        } else {
            let number = &mut self.numbers_without_periods[texts as usize];
            *number = (*number).min(next);
            (number, 0)
        };
        let number = *number;
        if number == next {
            self.keys.push((texts, periods));
            self.tallies.push(Tally::default());
        }
        Some(number)
    }

    /// The number of the periods that a day is in.
    fn periods_of(&mut self, day: i64) -> u32 {
        if self.last_day.0 == day {
            return self.last_day.1;
        }
        let number = match self.of_day.get(&day) {
            Some(number) => *number,
            None => {
                let noon = DateTime::UNIX_EPOCH + TimeDelta::days(day) + TimeDelta::hours(12);
                let start = |dimension: &&Dimension| match dimension.kind {
                    DimensionKind::Time => Some(dimension.start(noon)),
                    DimensionKind::Text => None,
                };
                let starts: Vec<Option<DateTime<Utc>>> = self.asked.group_by.iter().map(start).collect();
                // Days of one week have the same.
                let next = u32::try_from(self.periods.len()).unwrap_or(NONE);
                let number = *self.of_starts.entry(starts.clone()).or_insert(next);
                if number == next {
                    let text = |start: DateTime<Utc>| (start, start.timestamp().to_string());
                    self.periods.push(starts.into_iter().map(|start| start.map(text)).collect());
                }
                self.of_day.insert(day, number);
                number
            }
        };
        self.last_day = (day, number);
        number
    }

    /// The text of a group's dimension, as groups are ordered by. A time is its seconds.
    fn key(&self, group: u32, at: usize) -> Option<&str> {
        let (texts, periods) = self.keys[group as usize];
        match self.columns[at] {
            Some(column) => self.attempts.facts.text(*self.facts_of_texts.get(texts as usize)?, column),
            None => self.periods.get(periods as usize)?[at].as_ref().map(|(_, text)| text.as_str()),
        }
    }

    /// What is not known comes last.
    fn compare<'t>(&self, group: u32, other: impl Fn(usize) -> Option<&'t str>) -> Ordering {
        let orders = (0..self.columns.len()).map(|at| match (self.key(group, at), other(at)) {
            (Some(text), Some(other)) => text.cmp(other),
            (text, other) => text.is_none().cmp(&other.is_none()),
        });
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    fn number(&self, group: u32) -> i64 {
        i64::try_from(self.tallies[group as usize].n()).unwrap_or(i64::MAX)
    }

    /// The groups behind the cursor, as many as are asked for, and where the walk goes on.
    fn first(&self) -> (Vec<u32>, Option<WalkCursor>) {
        let behind = |group: &u32| {
            let Some(after) = &self.asked.after else { return true };
            let text = |at: usize| after.key.get(at)?.as_deref();
            let order = after.rank.cmp(&self.number(*group)).then_with(|| self.compare(*group, text));
            order == Ordering::Greater
        };
        let order = |a: &u32, b: &u32| {
            self.number(*b).cmp(&self.number(*a)).then_with(|| self.compare(*a, |at| self.key(*b, at)))
        };
        let limit = self.asked.limit;
        let all = 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let mut groups: Vec<u32> = all.filter(behind).collect();
        let more = groups.len() > limit;
        if more {
            groups.select_nth_unstable_by(limit, order);
            groups.truncate(limit);
        }
        groups.sort_unstable_by(order);
        let next = groups.last().filter(|_| more).map(|group| WalkCursor {
            rank: self.number(*group),
            key: (0..self.columns.len()).map(|at| self.key(*group, at).map(str::to_owned)).collect(),
        });
        (groups, next)
    }

    fn values(&self, group: u32) -> Map<String, Value> {
        let periods = self.periods.get(self.keys[group as usize].1 as usize);
        let value = |(at, dimension): (usize, &&'static Dimension)| {
            let value = match dimension.kind {
                DimensionKind::Text => self.key(group, at).into(),
                DimensionKind::Time => {
                    let start = periods.and_then(|periods| periods[at].as_ref());
                    start.map(|(start, _)| format_rfc3339(*start)).into()
                }
            };
            (dimension.name.to_owned(), value)
        };
        self.asked.group_by.iter().enumerate().map(value).collect()
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
