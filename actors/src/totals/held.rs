//! The counts in memory: every hour as its bytes, sums of many hours, and what is not folded yet.

use super::block::{entries, for_each, step, total};
use super::changes::Change;
use super::combinations::{Combinations, Fitting};
use crate::domain::totals::{CountedFilter, MINUTES_OF_AN_HOUR, Periods, Values};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// What sums may take of memory. With fewer sums there are more hours to be read between the nearest sum and a time.
const SUMS_BYTES: usize = 64 << 20;
/// The number of the next list of changed incidents.
static BEGUN: AtomicU64 = AtomicU64::new(1);
/// What is worth another sum at least.
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
    pub(super) hours: BTreeMap<i32, Box<[u8]>>,
    /// Each of all hours before its end; what is behind the last one is read hour by hour.
    pub(super) sums: Vec<HourSum>,
    /// The bytes of the hours, and their entries.
    bytes: usize,
    entries: usize,
    /// The rows of changes that have been taken in since the last fold.
    taken: HashSet<i64>,
    /// The incidents of these rows, in the order in which they were taken in.
    pub(super) changed: Vec<(i32, i64)>,
    /// Tells one list of them from another.
    pub(super) begun: u64,
    pub(super) pending: Vec<Unfolded>,
}

/// Of all hours before its end.
pub(super) struct HourSum {
    pub(super) until: i32,
    /// Of the hours behind the sum before it.
    entries: usize,
    pub(super) total: i64,
    /// By combination.
    counts: Vec<i32>,
}

/// What a reading of the hours comes upon.
pub(super) enum Stretch<'h> {
    Sum(&'h HourSum),
    /// Combination and count.
    Entry(u32, i64),
}

/// A change that is not folded.
pub(super) struct Unfolded {
    pub(super) minute: i32,
    pub(super) of: UnfoldedOf,
    pub(super) delta: i64,
}

pub(super) enum UnfoldedOf {
    Known(u32),
    /// A combination that the last fold did not know.
    New(Box<Values<String>>),
}

impl HeldCounts {
    /// Nothing yet, of this server.
    pub(super) fn of(server: Server) -> Self {
        HeldCounts { server: Some(server), ..HeldCounts::default() }
    }

    /// Counts come from another generation: what is pending comes again.
    pub(super) fn begin(&mut self, generation: i64) {
        self.generation = generation;
        self.taken.clear();
        self.changed.clear();
        self.begun = BEGUN.fetch_add(1, Ordering::Relaxed);
        self.pending.clear();
    }

    pub(super) fn take_change(&mut self, change: &Change<'_>) {
        // A change of what is not counted.
        if change.delta == 0 {
            return;
        }
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

    /// Whether anything is held: what was given back tells nothing.
    pub(crate) fn is_held(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) fn bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(|sum| sum.counts.len() * size_of::<i32>()).sum();
        self.bytes
            + sums
            + self.combinations.bytes()
            + self.hours.len() * 48
            + (self.pending.len() + self.changed.len()) * 32
    }

    /// Puts blocks in the place of those that were there.
    pub(super) fn replace(&mut self, blocks: impl Iterator<Item = (i32, Box<[u8]>)>) {
        let mut blocks: Vec<(i32, Box<[u8]>)> = blocks.collect();
        blocks.sort_unstable_by_key(|(hour, _)| *hour);
        // Each sum is gone over once, however many hours have changed: it takes in the difference of all hours before its end.
        let (mut difference, mut next) = (Difference::default(), 0);
        for (hour, block) in blocks {
            let new = (block.len() > 1).then_some(block);
            let old = match &new {
                Some(block) => self.hours.insert(hour, block.clone()),
                None => self.hours.remove(&hour),
            };
            let at = self.sums.partition_point(|sum| sum.until <= hour);
            self.sums[next..at].iter_mut().for_each(|sum| sum.take_in(&difference));
            next = at;
            for (block, sign) in old.iter().map(|old| (old, -1)).chain(new.iter().map(|new| (new, 1))) {
                let entries = entries(block);
                self.bytes = add(self.bytes, block.len(), sign);
                self.entries = add(self.entries, entries, sign);
                // Behind the last sum are no others to take it in.
                if let Some(sum) = self.sums.get_mut(at) {
                    difference.add(block, sign);
                    sum.entries = add(sum.entries, entries, sign);
                }
            }
        }
        self.sums[next..].iter_mut().for_each(|sum| sum.take_in(&difference));
        let most = self.entries_of_a_sum();
        if self.sums.iter().any(|sum| sum.entries > 4 * most) || self.sums.len() > 4 * (self.entries / most + 1) {
            self.sums.clear();
        }
        self.sum_up(most);
    }

    /// How many entries lie between two sums.
    fn entries_of_a_sum(&self) -> usize {
        let sums = (SUMS_BYTES / (self.combinations.len().max(1) * size_of::<i32>())).max(1);
        (self.entries / sums).max(LEAST_ENTRIES)
    }

    /// Sums up the hours behind the last sum, as long as there are enough.
    fn sum_up(&mut self, most: usize) {
        let (from, total, counts) =
            self.sums.last().map_or((i32::MIN, 0, Vec::new()), |sum| (sum.until, sum.total, sum.counts.clone()));
        let mut sum = HourSum { until: from, entries: 0, total, counts };
        for (hour, block) in self.hours.range(from..) {
            sum.until = hour.saturating_add(1);
            sum.add(block);
            sum.entries += entries(block);
            if sum.entries >= most {
                let next = HourSum { entries: 0, counts: sum.counts.clone(), ..sum };
                self.sums.push(std::mem::replace(&mut sum, next));
            }
        }
    }

    /// The filter's time, as far as the counts can tell it apart.
    pub(crate) fn periods(&self, filter: &CountedFilter<'_>) -> Periods {
        Periods::of(filter.since, filter.until, |hour| self.hours.get(&hour).map_or(1, |block| step(block)))
    }

    /// Calls `take` with ids and counts of what is folded and fits. A count may be taken away again.
    pub(super) fn read(&self, minutes: (i32, i32), fitting: &Fitting, take: &mut impl FnMut(u32, i64)) {
        self.read_stretches(minutes, fitting, &mut |stretch, sign| match stretch {
            Stretch::Sum(sum) => {
                let mut take = |id: u32| {
                    let count = sum.count(id);
                    if count != 0 {
                        take(id, i64::from(count) * sign);
                    }
                };
                match fitting {
                    Fitting::All => (0..sum.counts.len()).filter_map(|id| u32::try_from(id).ok()).for_each(&mut take),
                    Fitting::Some { ids, .. } => ids.iter().copied().for_each(&mut take),
                }
            }
            Stretch::Entry(id, count) => take(id, count * sign),
        });
    }

    /// Calls `take` with what is to be added (1) or taken away (-1): sums, whatever fits of them, and entries that fit.
    pub(super) fn read_stretches(
        &self,
        minutes: (i32, i32),
        fitting: &Fitting,
        take: &mut impl FnMut(Stretch<'_>, i64),
    ) {
        if minutes.0 >= minutes.1 {
            return;
        }
        // The first whole hour, and the first that is not whole any more.
        let first = if minutes.0 == i32::MIN { i32::MIN } else { -(-minutes.0).div_euclid(MINUTES_OF_AN_HOUR) };
        let last = if minutes.1 == i32::MAX { i32::MAX } else { minutes.1.div_euclid(MINUTES_OF_AN_HOUR) };
        let stretch_of = |hour: i32| self.sums.partition_point(|sum| sum.until <= hour);
        if first >= last || stretch_of(first) == stretch_of(last) {
            self.read_hours(hours_of(minutes), minutes, fitting, &mut |id, count| take(Stretch::Entry(id, count), 1));
            return;
        }
        self.read_before(last, 1, fitting, take);
        if first != i32::MIN {
            self.read_before(first, -1, fitting, take);
            let hour = first.saturating_sub(1)..first;
            self.read_hours(hour, minutes, fitting, &mut |id, count| take(Stretch::Entry(id, count), 1));
        }
        if last != i32::MAX {
            let hour = last..last.saturating_add(1);
            self.read_hours(hour, minutes, fitting, &mut |id, count| take(Stretch::Entry(id, count), 1));
        }
    }

    /// All hours before this one, by the nearest sum.
    fn read_before(&self, hour: i32, sign: i64, fitting: &Fitting, take: &mut impl FnMut(Stretch<'_>, i64)) {
        let all = (i32::MIN, i32::MAX);
        let at = self.sums.partition_point(|sum| sum.until <= hour);
        let before = at.checked_sub(1).and_then(|before| self.sums.get(before));
        let start = before.map_or(i32::MIN, |sum| sum.until);
        match self.sums.get(at) {
            Some(behind) if i64::from(behind.until) - i64::from(hour) < i64::from(hour) - i64::from(start) => {
                take(Stretch::Sum(behind), sign);
                self.read_hours(hour..behind.until, all, fitting, &mut |id, count| {
                    take(Stretch::Entry(id, count), -sign)
                });
            }
            _ => {
                if let Some(before) = before {
                    take(Stretch::Sum(before), sign);
                }
                self.read_hours(start..hour, all, fitting, &mut |id, count| take(Stretch::Entry(id, count), sign));
            }
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
    pub(super) fn count(&self, id: u32) -> i32 {
        self.counts.get(id as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, block: &[u8]) {
        for_each(block, |_, id, count| add_to(&mut self.counts, id, i32::try_from(count).unwrap_or(i32::MAX)));
        self.total += total(block);
    }

    fn take_in(&mut self, difference: &Difference) {
        for id in &difference.ids {
            add_to(&mut self.counts, *id, difference.counts[*id as usize].unwrap_or(0));
        }
        self.total += difference.total;
    }
}

/// What some hours have more than they had before.
#[derive(Default)]
struct Difference {
    total: i64,
    /// By combination, of those that the hours have or had.
    counts: Vec<Option<i32>>,
    /// These combinations.
    ids: Vec<u32>,
}

impl Difference {
    fn add(&mut self, block: &[u8], sign: i32) {
        for_each(block, |_, id, count| {
            let place = id as usize;
            if self.counts.len() <= place {
                self.counts.resize(place + 1, None);
            }
            let known = self.counts[place].get_or_insert_with(|| {
                self.ids.push(id);
                0
            });
            *known += i32::try_from(count).unwrap_or(i32::MAX) * sign;
        });
        self.total += total(block) * i64::from(sign);
    }
}

fn add_to(counts: &mut Vec<i32>, id: u32, count: i32) {
    let place = id as usize;
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    counts[place] += count;
}

fn add(number: usize, more: usize, sign: i32) -> usize {
    if sign > 0 { number + more } else { number.saturating_sub(more) }
}

pub(super) fn is_within(minute: i32, minutes: (i32, i32)) -> bool {
    // A filter without an end lets the last minute through.
    minute >= minutes.0 && (minute < minutes.1 || minutes.1 == i32::MAX)
}

/// The hours that have these minutes.
pub(super) fn hours_of(minutes: (i32, i32)) -> Range<i32> {
    if minutes.0 >= minutes.1 {
        return 0..0;
    }
    let until = if minutes.1 == i32::MAX { i32::MAX } else { (minutes.1 - 1).div_euclid(MINUTES_OF_AN_HOUR) + 1 };
    minutes.0.div_euclid(MINUTES_OF_AN_HOUR)..until
}
