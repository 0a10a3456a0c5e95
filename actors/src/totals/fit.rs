//! What of the held counts fits a filter.

use super::block::{for_each, step};
use super::combinations::Fitting;
use super::held::{HeldCounts, Stretch, UnfoldedOf, hours_of, is_within};
use crate::domain::facts::COUNTED;
use crate::domain::totals::{CountedFilter, MINUTES_OF_AN_HOUR, Values};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

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
    pub(crate) fn fit<'h>(&'h self, filter: CountedFilter<'h>) -> Fit<'h> {
        Fit { held: self, filter, fitting: self.combinations.fitting(&filter.values) }
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
    /// All that fits from the first of these minutes to the last is in them, so that what they have is never more than the beginning; it may be
    /// fewer than `wanted`, since some of what is folded may fit no more.
    /// What fits in minutes outside of `whole` is not counted, since it may lie beyond the times that are asked for. `None` where more than
    /// `most` bytes of counts would have to be read, as far as the first of them tell.
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
        let mut last = None;
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
                    // An eighth tells how much all would be, where what fits is spread evenly.
                    let is_hopeless =
                        || left.saturating_mul(as_number(read)) > (wanted - left).saturating_mul(as_number(most));
                    if read > most || read > most / 8 && is_hopeless() {
                        return None;
                    }
                    self.minutes_of_hour((*hour, block), minutes, whole, newest, &mut left, &mut found_here);
                    if left <= 0 {
                        break;
                    }
                }
            }
            last = found_here.last().map(|(from, to, _)| (*from, *to)).or(last);
            for (from, to, incidents) in found_here {
                found.ranges.push((from, to));
                found.incidents += incidents;
            }
        }
        found.is_cut = left <= 0;
        // Behind the cut not all that fits is known: of the folded ones before it, some may fit no more, and what comes behind it is not next.
        let is_known = |minute: i32| match last.filter(|_| left <= 0) {
            Some((from, _)) if newest => minute >= from,
            Some((_, to)) => minute < to,
            None => true,
        };
        for (minute, count) in pending.into_iter().filter(|(minute, _)| is_known(*minute)) {
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

fn as_number(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
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
    use super::super::changes::Change;
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

    /// Blocks of these incidents; some hours are known as a whole only. They come in two parts, the second of which changes hours of the first.
    fn held(incidents: &[Incident], coarse: impl Fn(i32) -> bool) -> HeldCounts {
        let mut held = HeldCounts::default();
        for known in [incidents.len() * 3 / 4, incidents.len()] {
            let mut hours: BTreeMap<i32, HourCounts> = BTreeMap::new();
            for (minute, values) in &incidents[..known] {
                let values: Values<&str> = std::array::from_fn(|fact| values[fact].as_deref());
                let id = held.combinations.id(&values).unwrap_or_else(|| {
                    let id = u32::try_from(held.combinations.len().max(1)).expect("few");
                    held.combinations.add(id, &values);
                    id
                });
                let hour = minute.div_euclid(60);
                let step = if coarse(hour) { 60 } else { 1 };
                let counts = hours.entry(hour).or_insert_with(|| HourCounts { step, ..HourCounts::default() });
                counts.add(u8::try_from(minute.rem_euclid(60)).expect("below 60"), id, 1);
            }
            held.replace(hours.into_iter().rev().map(|(hour, counts)| (hour, counts.bytes().into())));
        }
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
        // Some of what is folded has another status since.
        let mut incidents = incidents.clone();
        for (minute, values) in incidents.iter_mut().step_by(40).take(450) {
            for (delta, status) in [(-1, values[5].clone()), (1, Some("failed".to_owned()))] {
                values[5] = status;
                let values = std::array::from_fn(|fact| values[fact].as_deref());
                held.take_change(&Change { minute: *minute, values, delta });
            }
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
            let there = sorted.iter().filter(|minute| is_there(minute)).count();
            let beginning = sorted.iter().take_while(|minute| is_there(minute)).count();
            assert!(there == beginning && (found.is_cut || there == sorted.len()), "{there} {beginning} {found:?}");
            assert!(there * 4 >= sorted.len().min(25), "{there} {found:?}");
            assert!(found.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{found:?}");
        }
        assert!(
            fit.minutes((first, after(last)), (after(first), last), true, 25, 0)
                .is_none_or(|found| found.ranges.len() < 60)
        );
    }
}
