//! Attempts that have some of their facts, or the period of their incident, in common.

use super::held::AttemptFacts;
use super::place_of;
use crate::domain::dimension::{Dimension, DimensionKind, HOUR, MOST};
use crate::domain::facts::{GROUPED, grouped};
use crate::domain::filter::IncidentFilter;
use crate::domain::time::format_rfc3339;
use crate::domain::walk::WalkCursor;
use crate::totals::Fitting;
use chrono::{DateTime, TimeDelta, Utc};
use hashbrown::HashMap;
use serde_json::{Map, Value};
use std::cmp::Ordering;

pub(super) const NONE: u32 = u32::MAX;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Texts that tell groups apart, at most: the dimensions of a question, and the status.
const MOST_TEXTS: usize = MOST + 1;

/// The start of a period, and its text as groups are ordered by.
type Period = (DateTime<Utc>, String);

/// The groups of a question, numbered as they are come upon.
pub(super) struct Groups<'a> {
    facts: &'a AttemptFacts,
    group_by: &'a [&'static Dimension],
    /// Of each combination of facts the number of its texts, or none where it does not fit.
    texts_of_facts: Vec<u32>,
    /// A combination of facts that has these texts.
    facts_of_texts: Vec<u32>,
    /// A time within which all periods are the same, in microseconds; `None` where there are no periods.
    step: Option<i64>,
    /// The places of the dimensions' texts.
    columns: Vec<Option<usize>>,
    periods: Vec<Vec<Option<Period>>>,
    /// The number of the periods that have these starts, and that of those that a step is in.
    of_starts: HashMap<Vec<Option<DateTime<Utc>>>, u32>,
    of_step: HashMap<i64, u32>,
    last_step: (i64, u32),
    /// The number of a group, by those of its texts and its periods.
    numbers: HashMap<(u32, u32), u32>,
    /// The same by its texts alone, where there are no periods.
    numbers_without_periods: Vec<u32>,
    /// The texts and periods of each group.
    keys: Vec<(u32, u32)>,
}

impl<'a> Groups<'a> {
    pub fn new(facts: &'a AttemptFacts, filter: &IncidentFilter, group_by: &'a [&'static Dimension]) -> Self {
        let fitting = fitting(facts, filter);
        let all_columns: Vec<Option<usize>> = group_by.iter().map(|dimension| place_of(dimension.column()?)).collect();
        let columns: Vec<usize> = all_columns.iter().copied().flatten().collect();
        let mut texts_of_facts = vec![NONE; facts.len()];
        let mut facts_of_texts = Vec::new();
        // The texts of one column are numbered by its codes, those of several by all their codes.
        let mut by_code: Vec<u32> = vec![NONE; columns.first().map_or(1, |column| facts.texts(*column) + 1)];
        let mut by_codes: HashMap<[u32; MOST_TEXTS], u32> = HashMap::new();
        for id in 0..u32::try_from(facts.len()).unwrap_or(u32::MAX) {
            if !matches!(fitting, Fitting::All) && !fitting.has(id) {
                continue;
            }
            let mut codes = [0; MOST_TEXTS];
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
        let periods = group_by.iter().filter(|dimension| dimension.kind == DimensionKind::Time);
        Groups {
            facts,
            group_by,
            texts_of_facts,
            step: periods.map(|period| if **period == HOUR { HOUR_MICROS } else { 24 * HOUR_MICROS }).min(),
            columns: all_columns,
            periods: Vec::new(),
            of_starts: HashMap::new(),
            of_step: HashMap::new(),
            last_step: (i64::MIN, 0),
            numbers: HashMap::new(),
            numbers_without_periods: vec![NONE; facts_of_texts.len()],
            facts_of_texts,
            keys: Vec::new(),
        }
    }

    /// The number of an attempt's group; `None` where it does not fit.
    pub fn of(&mut self, facts: u32, time: i64) -> Option<u32> {
        let texts = *self.texts_of_facts.get(facts as usize)?;
        if texts == NONE {
            return None;
        }
        let next = u32::try_from(self.keys.len()).unwrap_or(NONE);
        let (number, periods) = if let Some(step) = self.step {
            let periods = self.periods_of(time.div_euclid(step), step);
            (self.numbers.entry((texts, periods)).or_insert(next), periods)
        } else {
            let number = &mut self.numbers_without_periods[texts as usize];
            *number = (*number).min(next);
            (number, 0)
        };
        let number = *number;
        if number == next {
            self.keys.push((texts, periods));
        }
        Some(number)
    }

    /// The number of the periods that a step is in.
    fn periods_of(&mut self, at: i64, step: i64) -> u32 {
        if self.last_step.0 == at {
            return self.last_step.1;
        }
        let number = match self.of_step.get(&at) {
            Some(number) => *number,
            None => {
                let middle = DateTime::UNIX_EPOCH + TimeDelta::microseconds(at * step + step / 2);
                let start = |dimension: &&Dimension| match dimension.kind {
                    DimensionKind::Time => Some(dimension.start(middle)),
                    DimensionKind::Text => None,
                };
                let starts: Vec<Option<DateTime<Utc>>> = self.group_by.iter().map(start).collect();
                // Days of one week have the same.
                let next = u32::try_from(self.periods.len()).unwrap_or(NONE);
                let number = *self.of_starts.entry(starts.clone()).or_insert(next);
                if number == next {
                    let text = |start: DateTime<Utc>| (start, start.timestamp().to_string());
                    self.periods.push(starts.into_iter().map(|start| start.map(text)).collect());
                }
                self.of_step.insert(at, number);
                number
            }
        };
        self.last_step = (at, number);
        number
    }

    /// The text of a group's dimension, as groups are ordered by. A time is its seconds.
    pub fn key(&self, group: u32, at: usize) -> Option<&str> {
        let (texts, periods) = self.keys[group as usize];
        match self.columns[at] {
            Some(column) => self.facts.text(*self.facts_of_texts.get(texts as usize)?, column),
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

    /// The start of a group's period; `None` where the dimension is none.
    pub fn start(&self, group: u32, at: usize) -> Option<DateTime<Utc>> {
        let (_, periods) = self.keys[group as usize];
        self.periods.get(periods as usize)?[at].as_ref().map(|(start, _)| *start)
    }

    /// The groups of the highest numbers behind the cursor, as many as are asked for, and where the walk goes on.
    pub fn most(
        &self,
        number: &impl Fn(u32) -> i64,
        limit: usize,
        after: Option<&WalkCursor>,
    ) -> (Vec<u32>, Option<WalkCursor>) {
        let behind = |group: &u32| {
            let Some(after) = after else { return true };
            let text = |at: usize| after.key.get(at)?.as_deref();
            let order = after.rank.cmp(&number(*group)).then_with(|| self.compare(*group, text));
            order == Ordering::Greater
        };
        let order =
            |a: &u32, b: &u32| number(*b).cmp(&number(*a)).then_with(|| self.compare(*a, |at| self.key(*b, at)));
        let all = 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let mut groups: Vec<u32> = all.filter(behind).collect();
        let more = groups.len() > limit;
        if more {
            groups.select_nth_unstable_by(limit, order);
            groups.truncate(limit);
        }
        groups.sort_unstable_by(order);
        let next = groups.last().filter(|_| more).map(|group| WalkCursor {
            rank: number(*group),
            key: (0..self.columns.len()).map(|at| self.key(*group, at).map(str::to_owned)).collect(),
        });
        (groups, next)
    }

    pub fn values(&self, group: u32) -> Map<String, Value> {
        let value = |(at, dimension): (usize, &&'static Dimension)| {
            let value = match dimension.kind {
                DimensionKind::Text => self.key(group, at).into(),
                DimensionKind::Time => self.start(group, at).map(format_rfc3339).into(),
            };
            (dimension.name.to_owned(), value)
        };
        self.group_by.iter().enumerate().map(value).collect()
    }
}

/// The combinations that a filter lets through.
pub(super) fn fitting(facts: &AttemptFacts, filter: &IncidentFilter) -> Fitting {
    let mut values: [&[String]; GROUPED] = [&[]; GROUPED];
    for (held, fact) in values.iter_mut().zip(grouped()) {
        *held = filter.values_of(fact);
    }
    facts.fitting(&values)
}
