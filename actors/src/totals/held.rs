//! The counts in memory: every hour as its bytes, sums of many hours, and what is not folded yet.

use super::block::{entries, for_each, step};
use super::changes::Change;
use super::combinations::{Combinations, Fitting};
use crate::domain::facts::COUNTED;
use crate::domain::totals::{CountedFilter, MINUTES_OF_AN_HOUR, Periods, Values};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// What sums may take of memory. With fewer sums there are more hours to be read between the nearest sum and a time.
const SUMS_BYTES: usize = 64 << 20;
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
    hours: BTreeMap<i32, Box<[u8]>>,
    /// Each of all hours before its end; what is behind the last one is read hour by hour.
    sums: Vec<HourSum>,
    /// The bytes of the hours, and their entries.
    bytes: usize,
    entries: usize,
    /// The rows of changes that have been taken in since the last fold.
    taken: HashSet<i64>,
    pending: Vec<Unfolded>,
}

/// Of all hours before its end.
struct HourSum {
    until: i32,
    /// Of the hours behind the sum before it.
    entries: usize,
    total: i64,
    /// By combination.
    counts: Vec<i32>,
}

/// What a reading of the hours comes upon.
enum Stretch<'h> {
    Sum(&'h HourSum),
    /// Combination and count.
    Entry(u32, i64),
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
    /// Nothing yet, of this server.
    pub(super) fn of(server: Server) -> Self {
        HeldCounts { server: Some(server), ..HeldCounts::default() }
    }

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

    /// Whether anything is held: what was given back tells nothing.
    pub(crate) fn is_held(&self) -> bool {
        self.server.is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(|sum| sum.counts.len() * size_of::<i32>()).sum();
        self.bytes + sums + self.combinations.bytes() + self.hours.len() * 48 + self.pending.len() * 32
    }

    /// Puts blocks in the place of those that were there.
    pub(super) fn replace(&mut self, blocks: impl Iterator<Item = (i32, Box<[u8]>)>) {
        for (hour, block) in blocks {
            let new = (block.len() > 1).then_some(block);
            let old = match &new {
                Some(block) => self.hours.insert(hour, block.clone()),
                None => self.hours.remove(&hour),
            };
            let at = self.sums.partition_point(|sum| sum.until <= hour);
            for (block, sign) in old.iter().map(|old| (old, -1)).chain(new.iter().map(|new| (new, 1))) {
                let entries = entries(block);
                self.bytes = add(self.bytes, block.len(), sign);
                self.entries = add(self.entries, entries, sign);
                for sum in &mut self.sums[at..] {
                    sum.add(block, sign);
                }
                if let Some(sum) = self.sums.get_mut(at) {
                    sum.entries = add(sum.entries, entries, sign);
                }
            }
        }
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
            sum.add(block, 1);
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

    pub(crate) fn fit<'h>(&'h self, filter: CountedFilter<'h>) -> Fit<'h> {
        Fit { held: self, filter, fitting: self.combinations.fitting(&filter.values) }
    }

    /// Calls `take` with ids and counts of what is folded and fits. A count may be taken away again.
    fn read(&self, minutes: (i32, i32), fitting: &Fitting, take: &mut impl FnMut(u32, i64)) {
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
    fn read_stretches(&self, minutes: (i32, i32), fitting: &Fitting, take: &mut impl FnMut(Stretch<'_>, i64)) {
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
            self.total += count * i64::from(sign);
        });
    }
}

impl<'h> Fit<'h> {
    /// How many incidents of whole minutes.
    pub fn count(&self, minutes: (i32, i32)) -> i64 {
        let mut total = 0;
        self.held.read_stretches(minutes, &self.fitting, &mut |stretch, sign| {
            total += sign
                * match (stretch, &self.fitting) {
                    (Stretch::Entry(_, count), _) => count,
                    (Stretch::Sum(sum), Fitting::All) => sum.total,
                    (Stretch::Sum(sum), Fitting::Some { ids, .. }) => {
                        ids.iter().map(|id| i64::from(sum.count(*id))).sum::<i64>()
                    }
                };
        });
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
        let mut stretches: Vec<(usize, Range<i32>)> =
            starts.zip(ends).map(|(start, end)| start..end).enumerate().collect();
        if newest {
            stretches.reverse();
        }
        let (mut left, mut read) = (wanted, 0);
        for (at, stretch) in stretches {
            if left <= 0 {
                break;
            }
            let stretch = stretch.start.max(hours.start)..stretch.end.min(hours.end);
            let has_none = held.sums.get(at).is_some_and(|sum| {
                let before = at.checked_sub(1).and_then(|before| held.sums.get(before));
                match &self.fitting {
                    Fitting::All => false,
                    Fitting::Some { ids, .. } => {
                        ids.iter().all(|id| sum.count(*id) == before.map_or(0, |before| before.count(*id)))
                    }
                }
            });
            let mut found_here: Vec<(i32, i32, i64)> = Vec::new();
            if !stretch.is_empty() && !has_none {
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

fn add(number: usize, more: usize, sign: i32) -> usize {
    if sign > 0 { number + more } else { number.saturating_sub(more) }
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

#[cfg(test)]
mod tests {
    use super::super::block::HourCounts;
    use super::*;
    use crate::domain::filter::IncidentFilter;
    use crate::domain::totals::{minute_of, start_of};
    use fastrand::Rng;

    const STATUSES: [&str; 3] = ["completed", "failed", "rolled_back"];

    /// An incident: its minute and what it is counted by.
    type Incident = (i32, Values<String>);

    fn incident(random: &mut Rng) -> Incident {
        let mut values: Values<String> = Values::default();
        values[0] = Some(format!("Alert{}", random.u8(0..5)));
        values[3] = (random.u8(0..10) > 0).then(|| format!("ns-{}", random.u8(0..8)));
        // One status is rare.
        let status = if random.u16(0..2000) == 0 { 2 } else { random.usize(0..2) };
        values[5] = Some(STATUSES[status].to_owned());
        (1000 * 60 + random.i32(0..48 * 60), values)
    }

    /// Blocks of these incidents; some hours are known as a whole only.
    fn held(incidents: &[Incident], coarse: impl Fn(i32) -> bool) -> HeldCounts {
        let mut held = HeldCounts::default();
        let mut hours: BTreeMap<i32, HourCounts> = BTreeMap::new();
        for (minute, values) in incidents {
            let values: Values<&str> = std::array::from_fn(|fact| values[fact].as_deref());
            let id = held.combinations.id(&values).unwrap_or_else(|| {
                let id = u32::try_from(held.combinations.len().max(1)).expect("few");
                held.combinations.add(id, &values);
                id
            });
            let hour = minute.div_euclid(60);
            let counts = hours
                .entry(hour)
                .or_insert_with(|| HourCounts { step: if coarse(hour) { 60 } else { 1 }, ..HourCounts::default() });
            counts.add(u8::try_from(minute.rem_euclid(60)).expect("below 60"), id, 1);
        }
        // In two parts, the second of which changes hours of the first.
        let half: Vec<(i32, Box<[u8]>)> =
            hours.iter().step_by(2).map(|(hour, _)| (*hour, Box::from([1, 0, 1, 0]))).collect();
        held.replace(half.into_iter());
        held.replace(hours.into_iter().map(|(hour, counts)| (hour, counts.bytes().into())));
        held
    }

    fn filter(random: &mut Rng) -> IncidentFilter {
        let mut filter = IncidentFilter::default();
        let mut set = |name, value: String| filter.set(name, &value, start_of(0)).expect(name);
        for _ in 0..random.usize(0..3) {
            set("alert_name", format!("Alert{}", random.u8(0..6)));
        }
        if random.bool() {
            set("namespace", format!("ns-{}", random.u8(0..8)));
        }
        if random.bool() {
            set("status", STATUSES[random.usize(0..3)].to_owned());
        }
        filter
    }

    #[test]
    fn counts_and_minutes_are_those_of_the_incidents() {
        let mut random = Rng::with_seed(11);
        let incidents: Vec<Incident> = (0..20_000).map(|_| incident(&mut random)).collect();
        let (folded, unfolded) = incidents.split_at(19_500);
        let mut held = held(folded, |hour| hour % 7 == 3);
        assert!(held.sums.len() > 2, "{}", held.sums.len());
        for (minute, values) in unfolded {
            let values = std::array::from_fn(|fact| values[fact].as_deref());
            held.take_change(&Change { minute: *minute, values, delta: 1 });
        }
        for _ in 0..150 {
            let asked = filter(&mut random);
            let counted = CountedFilter::of(&asked).expect("counted");
            let end = |random: &mut Rng| start_of(1000 * 60 + random.i32(-90..50 * 60));
            let since = random.bool().then(|| end(&mut random));
            let until = random.bool().then(|| end(&mut random));
            let counted = CountedFilter { since, until, ..counted };
            let is_in = |(minute, values): &&Incident| {
                let values: Values<&str> = std::array::from_fn(|fact| values[fact].as_deref());
                since.is_none_or(|since| start_of(*minute) >= since)
                    && until.is_none_or(|until| start_of(*minute) < until)
                    && fits(&counted, &values)
            };
            let periods = held.periods(&counted);
            let in_parts =
                |minute: i32| periods.parts.iter().any(|part| (part.since..part.until).contains(&start_of(minute)));
            let fit = held.fit(counted);
            let wanted = incidents.iter().filter(is_in).filter(|(minute, _)| !in_parts(*minute)).count();
            assert_eq!(fit.count(periods.minutes), i64::try_from(wanted).expect("few"), "{counted:?}");
            let total: i64 = fit.by_combination(periods.minutes).iter().sum();
            let pending: i64 = fit.pending(periods.minutes).map(|(_, _, delta)| delta).sum();
            assert_eq!(total + pending, fit.count(periods.minutes));
            minutes_have_the_first(
                &fit,
                &incidents.iter().filter(is_in).map(|(minute, _)| *minute).collect::<Vec<_>>(),
            );
        }
    }

    /// The minutes of a page have the first that fit, and say when there may be others.
    fn minutes_have_the_first(fit: &Fit<'_>, fitting: &[i32]) {
        let (since, until) = (fit.filter.since, fit.filter.until);
        let (first, last) = (since.map_or(i32::MIN, minute_of), until.map_or(i32::MAX, minute_of));
        let after = |minute: i32| if minute == i32::MIN { minute } else { minute.saturating_add(1) };
        for newest in [true, false] {
            let wanted = 25;
            let (minutes, whole) = ((first, after(last)), (after(first), last));
            let found = fit.minutes(minutes, whole, newest, wanted, usize::MAX).expect("no bound");
            let mut sorted = fitting.to_vec();
            sorted.sort_unstable();
            if newest {
                sorted.reverse();
            }
            let is_there = |minute: &i32| found.ranges.iter().any(|(from, to)| (*from..*to).contains(minute));
            let there = sorted.iter().take_while(|minute| is_there(minute)).count();
            assert!(there >= sorted.len().min(25) && (found.is_cut || there == sorted.len()), "{there} {found:?}");
            assert!(found.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{found:?}");
        }
        assert!(
            fit.minutes((first, after(last)), (after(first), last), true, 25, 0)
                .is_none_or(|found| found.ranges.len() < 60)
        );
    }
}
