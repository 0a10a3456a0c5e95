//! The counts in memory: every hour as its bytes, sums of many hours, and what is not folded yet.

use super::block::{entries, for_each, step};
use super::changes::Change;
use super::combinations::{Combinations, Fitting};
use crate::domain::facts::COUNTED;
use crate::domain::totals::{CountedFilter, MINUTES_OF_AN_HOUR, Periods, Values};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// A sum is kept of hours that have so many entries for each combination together: then a question reads few entries, and the sums
/// take about as much memory as the entries.
const ENTRIES_OF_A_SUM: usize = 4;
/// What is worth a sum of its own at least.
const LEAST_ENTRIES: usize = 4096;

/// How the server that told the counts is known: another one may have lost what this one told.
pub(super) type Server = DateTime<Utc>;

#[derive(Default)]
pub struct HeldCounts {
    pub(super) server: Option<Server>,
    pub(super) generation: i64,
    /// Changes of transactions below it have been taken in.
    pub(super) seen: i64,
    pub(super) combinations: Combinations,
    hours: BTreeMap<i32, Box<[u8]>>,
    /// One behind the other; what is behind the last one is read hour by hour.
    sums: Vec<HourSum>,
    /// The bytes of the hours.
    bytes: usize,
    /// The rows of changes that have been taken in since the last fold.
    taken: HashSet<i64>,
    pending: Vec<Unfolded>,
}

/// Of all hours from the end of the sum before it.
struct HourSum {
    until: i32,
    entries: usize,
    counts: Vec<i32>,
}

/// A change that is not folded.
struct Unfolded {
    minute: i32,
    of: UnfoldedOf,
    delta: i64,
}

enum UnfoldedOf {
    Known(u32),
    /// A combination that the last fold did not know.
    New(Box<Values<String>>),
}

/// Where incidents are.
#[derive(Debug, Default)]
pub(crate) struct Minutes {
    /// From the first minute to before the second; sorted, and none meets another.
    pub ranges: Vec<(i32, i32)>,
    /// All that are there, whether they fit or not.
    pub incidents: i64,
    /// Whether there may be others that fit elsewhere.
    pub is_cut: bool,
}

impl Minutes {
    /// Sorts the ranges, and makes one of those that meet.
    fn join(&mut self) {
        self.ranges.sort_unstable();
        let mut joined: Vec<(i32, i32)> = Vec::with_capacity(self.ranges.len());
        for (from, to) in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        self.ranges = joined;
    }
}

/// What fits a filter.
pub(crate) struct Fit<'h> {
    held: &'h HeldCounts,
    filter: CountedFilter<'h>,
    fitting: Fitting,
}

impl HeldCounts {
    /// Counts come from another generation: what is pending comes again.
    pub(super) fn begin(&mut self, generation: i64) {
        self.generation = generation;
        self.taken.clear();
        self.pending.clear();
    }

    pub(super) fn take_change(&mut self, change: &Change<'_>) {
        let of = match self.combinations.id(&change.values) {
            Some(id) => UnfoldedOf::Known(id),
            None => UnfoldedOf::New(Box::new(change.values.map(|value| value.map(str::to_owned)))),
        };
        self.pending.push(Unfolded { minute: change.minute, of, delta: change.delta.into() });
    }

    /// Whether the changes of this row have not been taken in yet.
    pub(super) fn is_new(&mut self, number: i64) -> bool {
        self.taken.insert(number)
    }

    pub(super) fn bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(|sum| sum.counts.len() * size_of::<i32>()).sum();
        self.bytes + sums + self.combinations.bytes() + self.hours.len() * 48 + self.pending.len() * 32
    }

    /// Puts blocks in the place of those that were there.
    pub(super) fn replace(&mut self, blocks: impl Iterator<Item = (i32, Box<[u8]>)>) {
        for (hour, block) in blocks {
            let old = if block.len() > 1 {
                self.bytes += block.len();
                self.hours.insert(hour, block)
            } else {
                self.hours.remove(&hour)
            };
            let at = self.sums.partition_point(|sum| sum.until <= hour);
            if let Some(sum) = self.sums.get_mut(at) {
                if let Some(old) = &old {
                    sum.add(old, -1);
                }
                if let Some(new) = self.hours.get(&hour) {
                    sum.add(new, 1);
                }
            }
            self.bytes -= old.map_or(0, |old| old.len());
        }
        let most = self.entries_of_a_sum();
        if self.sums.iter().any(|sum| sum.entries > 4 * most) {
            self.sums.clear();
        }
        self.sum_up(most);
    }

    fn entries_of_a_sum(&self) -> usize {
        (ENTRIES_OF_A_SUM * self.combinations.len()).max(LEAST_ENTRIES)
    }

    /// Sums up the hours behind the last sum, as long as there are enough.
    fn sum_up(&mut self, most: usize) {
        let from = self.sums.last().map_or(i32::MIN, |sum| sum.until);
        let mut sum = HourSum { until: from, entries: 0, counts: Vec::new() };
        for (hour, block) in self.hours.range(from..) {
            sum.until = hour.saturating_add(1);
            sum.add(block, 1);
            if sum.entries >= most {
                sum.counts.shrink_to_fit();
                self.sums.push(std::mem::replace(
                    &mut sum,
                    HourSum { until: hour.saturating_add(1), entries: 0, counts: Vec::new() },
                ));
            }
        }
    }

    /// The filter's time, as far as the counts can tell it apart.
    pub(crate) fn periods(&self, filter: &CountedFilter<'_>) -> Periods {
        Periods::of(filter.since, filter.until, |hour| self.hours.get(&hour).map_or(1, |block| step(block)))
    }

    pub(crate) fn fit<'h>(&'h self, filter: CountedFilter<'h>) -> Fit<'h> {
        Fit { held: self, filter, fitting: self.combinations.fitting(&filter.values) }
    }

    /// Calls `take` with ids and counts of what is folded and fits: of sums where these lie within the minutes, else of hours.
    fn read(&self, minutes: (i32, i32), fitting: &Fitting, take: &mut impl FnMut(u32, i64)) {
        let hours = hours_of(minutes);
        let mut from = i32::MIN;
        for sum in &self.sums {
            // The hours at the ends may be halves of hours.
            let is_whole =
                (from > hours.start || minutes.0 == i32::MIN) && (sum.until < hours.end || minutes.1 == i32::MAX);
            if is_whole {
                let mut take = |id: u32| {
                    let count = sum.count(id);
                    if count != 0 {
                        take(id, count.into());
                    }
                };
                match fitting {
                    Fitting::All => (0..sum.counts.len()).filter_map(|id| u32::try_from(id).ok()).for_each(&mut take),
                    Fitting::Some { ids, .. } => ids.iter().copied().for_each(&mut take),
                }
            } else if sum.until > hours.start && from < hours.end {
                self.read_hours(from.max(hours.start)..sum.until.min(hours.end), minutes, fitting, take);
            }
            from = sum.until;
        }
        if from < hours.end {
            self.read_hours(from.max(hours.start)..hours.end, minutes, fitting, take);
        }
    }

    fn read_hours(&self, hours: Range<i32>, minutes: (i32, i32), fitting: &Fitting, take: &mut impl FnMut(u32, i64)) {
        if hours.is_empty() {
            return;
        }
        for (hour, block) in self.hours.range(hours) {
            let first = i64::from(*hour) * i64::from(MINUTES_OF_AN_HOUR);
            let (from, to) = (i64::from(minutes.0) - first, i64::from(minutes.1) - first);
            if from <= 0 && to >= i64::from(MINUTES_OF_AN_HOUR) {
                for_each(block, |_, id, count| {
                    if fitting.has(id) {
                        take(id, count);
                    }
                });
            } else {
                for_each(block, |minute, id, count| {
                    let minute = i64::from(minute);
                    if minute >= from && minute < to && fitting.has(id) {
                        take(id, count);
                    }
                });
            }
        }
    }
}

impl HourSum {
    fn count(&self, id: u32) -> i32 {
        self.counts.get(id as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, block: &[u8], sign: i32) {
        for_each(block, |_, id, count| {
            let place = id as usize;
            if self.counts.len() <= place {
                self.counts.resize(place + 1, 0);
            }
            self.counts[place] += i32::try_from(count).unwrap_or(i32::MAX) * sign;
        });
        let entries = entries(block);
        self.entries = if sign > 0 { self.entries + entries } else { self.entries.saturating_sub(entries) };
    }
}

impl<'h> Fit<'h> {
    /// How many incidents of whole minutes.
    pub fn count(&self, minutes: (i32, i32)) -> i64 {
        let mut total = 0;
        self.folded(minutes, &mut |_, count| total += count);
        total + self.pending(minutes).map(|(_, _, delta)| delta).sum::<i64>()
    }

    /// The combinations, by their ids.
    pub fn ids(&self) -> Vec<u32> {
        match &self.fitting {
            Fitting::All => (0..self.held.combinations.len()).filter_map(|id| u32::try_from(id).ok()).collect(),
            Fitting::Some { ids, .. } => ids.clone(),
        }
    }

    /// The text of a fact of a combination.
    pub fn text(&self, id: u32, fact: usize) -> Option<&'h str> {
        self.held.combinations.text(id, fact)
    }

    /// The number of that text, which no other text of the fact has.
    pub fn code(&self, id: u32, fact: usize) -> u32 {
        self.held.combinations.code(id, fact)
    }

    /// What is folded, by combination: the place is the id.
    pub fn by_combination(&self, minutes: (i32, i32)) -> Vec<i64> {
        let mut counts = vec![0; self.held.combinations.len()];
        self.folded(minutes, &mut |id, count| {
            if let Some(held) = counts.get_mut(id as usize) {
                *held += count;
            }
        });
        counts
    }

    /// Such counts by the values of one fact.
    pub fn by_value(&self, counts: &[i64], fact: usize) -> HashMap<&'h str, i64> {
        let combinations = &self.held.combinations;
        let mut by_code: Vec<(u32, i64)> = vec![(0, 0); combinations.texts(fact) + 1];
        for (id, count) in (0..).zip(counts).filter(|(_, count)| **count != 0) {
            if let Some(held) = by_code.get_mut(combinations.code(id, fact) as usize) {
                *held = (id, held.1 + count);
            }
        }
        by_code.into_iter().filter_map(|(id, count)| Some((combinations.text(id, fact)?, count))).collect()
    }

    /// Calls `take` with combinations and the incidents that they have more of, of what is folded. A combination may come several times.
    pub fn folded(&self, minutes: (i32, i32), take: &mut impl FnMut(u32, i64)) {
        self.held.read(minutes, &self.fitting, take);
    }

    /// Minute, values and number of what is not folded.
    pub fn pending(&self, minutes: (i32, i32)) -> impl Iterator<Item = (i32, Values<&'h str>, i64)> {
        let held = self.held;
        held.pending.iter().filter(move |pending| is_within(pending.minute, minutes)).filter_map(|pending| {
            let values: Values<&'h str> = match &pending.of {
                UnfoldedOf::Known(id) if !self.fitting.has(*id) => return None,
                UnfoldedOf::Known(id) => std::array::from_fn(|fact| held.combinations.text(*id, fact)),
                UnfoldedOf::New(values) => std::array::from_fn(|fact| values[fact].as_deref()),
            };
            fits(&self.filter, &values).then_some((pending.minute, values, pending.delta))
        })
    }

    /// The minutes of the first `wanted` incidents that fit, from the newest on or from the oldest, and how many incidents these minutes have.
    /// What fits in minutes outside of `whole` is not counted, since it may lie beyond the times that are asked for. `None` where more than
    /// `most` bytes of counts would have to be read.
    pub fn minutes(
        &self,
        minutes: (i32, i32),
        whole: (i32, i32),
        newest: bool,
        wanted: i64,
        most: usize,
    ) -> Option<Minutes> {
        let mut found = Minutes::default();
        let mut pending: BTreeMap<i32, i64> = BTreeMap::new();
        for (minute, _, delta) in self.pending(minutes).filter(|(_, _, delta)| *delta > 0) {
            *pending.entry(minute).or_default() += delta;
        }
        let held = self.held;
        let hours = hours_of(minutes);
        // Stretches of hours: those of each sum, and what is behind the last one.
        let starts = std::iter::once(i32::MIN).chain(held.sums.iter().map(|sum| sum.until));
        let ends = held.sums.iter().map(|sum| sum.until).chain([i32::MAX]);
        let mut stretches: Vec<(Option<&HourSum>, Range<i32>)> =
            held.sums.iter().map(Some).chain([None]).zip(starts.zip(ends).map(|(start, end)| start..end)).collect();
        if newest {
            stretches.reverse();
        }
        let (mut left, mut read) = (wanted, 0);
        for (sum, stretch) in stretches {
            let stretch = stretch.start.max(hours.start)..stretch.end.min(hours.end);
            let has_none = sum.is_some_and(|sum| match &self.fitting {
                Fitting::All => false,
                Fitting::Some { ids, .. } => !ids.iter().any(|id| sum.count(*id) != 0),
            });
            let mut found_here: Vec<(i32, i32, i64)> = Vec::new();
            if left > 0 && !stretch.is_empty() && !has_none {
                let blocks = held.hours.range(stretch.clone());
                let blocks: Box<dyn Iterator<Item = _>> =
                    if newest { Box::new(blocks.rev()) } else { Box::new(blocks) };
                for (hour, block) in blocks {
                    read += block.len();
                    if read > most {
                        return None;
                    }
                    self.minutes_of_hour((*hour, block), minutes, whole, newest, &mut left, &mut found_here);
                    if left <= 0 {
                        break;
                    }
                }
            }
            for (from, to, incidents) in found_here {
                found.ranges.push((from, to));
                found.incidents += incidents;
            }
        }
        found.is_cut = left <= 0;
        for (minute, count) in pending {
            found.ranges.push((minute, minute + 1));
            found.incidents += count;
        }
        found.join();
        Some(found)
    }

    /// Adds the minutes of one hour that have what fits, until nothing is left to be wanted.
    fn minutes_of_hour(
        &self,
        (hour, block): (i32, &[u8]),
        minutes: (i32, i32),
        whole: (i32, i32),
        newest: bool,
        left: &mut i64,
        found: &mut Vec<(i32, i32, i64)>,
    ) {
        let (step, first) = (step(block), hour * MINUTES_OF_AN_HOUR);
        // Of each minute: all incidents, and those that fit.
        let mut counts = [(0i64, 0i64); 60];
        for_each(block, |minute, id, count| {
            if let Some((all, fitting)) = counts.get_mut(usize::from(minute)) {
                *all += count;
                *fitting += if self.fitting.has(id) { count } else { 0 };
            }
        });
        let mut of_hour: Vec<(i32, (i64, i64))> = (first..)
            .zip(counts)
            .filter(|(minute, (_, fitting))| {
                *fitting > 0 && minute + step > minutes.0 && is_within(*minute, (i32::MIN, minutes.1))
            })
            .collect();
        if newest {
            of_hour.reverse();
        }
        for (minute, (all, fitting)) in of_hour {
            if *left <= 0 {
                return;
            }
            found.push((minute, minute + step, all));
            if minute >= whole.0 && (minute + step <= whole.1 || whole.1 == i32::MAX) {
                *left -= fitting;
            }
        }
    }

    /// The first hour from this one on that has anything folded.
    pub fn next_hour(&self, hour: i32) -> Option<i32> {
        self.held.hours.range(hour..).next().map(|(hour, _)| *hour)
    }
}

fn is_within(minute: i32, minutes: (i32, i32)) -> bool {
    // A filter without an end lets the last minute through.
    minute >= minutes.0 && (minute < minutes.1 || minutes.1 == i32::MAX)
}

/// The hours that have these minutes.
fn hours_of(minutes: (i32, i32)) -> Range<i32> {
    if minutes.0 >= minutes.1 {
        return 0..0;
    }
    let until = if minutes.1 == i32::MAX { i32::MAX } else { (minutes.1 - 1).div_euclid(MINUTES_OF_AN_HOUR) + 1 };
    minutes.0.div_euclid(MINUTES_OF_AN_HOUR)..until
}

fn fits(filter: &CountedFilter<'_>, values: &Values<&str>) -> bool {
    (0..COUNTED).all(|fact| {
        let wanted = filter.values[fact];
        wanted.is_empty() || values[fact].is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
    })
}
