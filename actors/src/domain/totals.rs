//! What incidents are counted by: the counted facts (`domain/facts.rs`), and the minute of their time.

use super::bucket::Bucket;
use super::content::ContentHasher;
use super::facts::{COUNTED, counted};
use super::filter::IncidentFilter;
use chrono::{DateTime, TimeDelta, Utc};

/// A value for each counted fact; `None` where it is not known.
pub type Values<T> = [Option<T>; COUNTED];

/// The digest of a combination of values, and the bucket that its row lies in.
pub fn key(values: &Values<&str>) -> (Bucket, [u8; 16]) {
    let mut hasher = ContentHasher::new("count");
    for (fact, value) in counted().zip(values) {
        hasher.text(fact.column, *value);
    }
    let digest = hasher.finish();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    (Bucket::of_digest(&digest), key)
}

/// What a filter asks of the counted facts and of the time, where it asks for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct CountedFilter<'a> {
    /// The values that each of them may have; none where any will do.
    pub values: [&'a [String]; COUNTED],
    /// Inclusive.
    pub since: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
}

impl<'a> CountedFilter<'a> {
    /// `None` where it asks for anything else.
    pub fn of(filter: &'a IncidentFilter) -> Option<Self> {
        let is_counted = filter.remediation_request_id.is_none() && filter.facts().all(|(fact, _)| fact.counted);
        let mut values: [&[String]; COUNTED] = [&[]; COUNTED];
        for (held, fact) in values.iter_mut().zip(counted()) {
            *held = filter.values_of(fact);
        }
        let at = |bound: Option<super::filter::TimeBound>| bound.map(|bound| bound.at);
        is_counted.then_some(CountedFilter { values, since: at(filter.since), until: at(filter.until) })
    }

    /// How many facts it asks for.
    pub fn facts(&self) -> usize {
        self.values.iter().filter(|values| !values.is_empty()).count()
    }
}

pub const MINUTES_OF_AN_HOUR: i32 = 60;

/// The minute of a time, counted from 1970; times beyond all minutes have the first or the last one.
pub fn minute_of(time: DateTime<Utc>) -> i32 {
    let minute = time.timestamp().div_euclid(60);
    i32::try_from(minute).unwrap_or(if minute < 0 { i32::MIN } else { i32::MAX })
}

/// When a minute begins.
pub fn start_of(minute: i32) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute.into())
}

/// A filter's time as whole periods, and what is left of the periods at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    /// The whole minutes: from the first to before the second.
    pub minutes: (i32, i32),
    pub parts: Vec<PartOfPeriod>,
}

/// A time that is less than a whole period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOfPeriod {
    /// Inclusive.
    pub since: DateTime<Utc>,
    /// Exclusive.
    pub until: DateTime<Utc>,
    /// The whole periods that it is in, as minutes: from the first to before the second.
    pub within: (i32, i32),
}

impl Periods {
    /// `step` says into how many minutes an hour (counted from 1970) can be told apart: a period begins and ends at one of them.
    pub fn of(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>, step: impl Fn(i32) -> i32) -> Self {
        let step = |minute: i32| step(minute.div_euclid(MINUTES_OF_AN_HOUR));
        let floor = |time: DateTime<Utc>| {
            let minute = minute_of(time);
            minute - minute.rem_euclid(step(minute))
        };
        let ceil = |time: DateTime<Utc>| {
            let start = floor(time);
            if start_of(start) == time { start } else { start.saturating_add(step(start)) }
        };
        let part = |since: DateTime<Utc>, until: DateTime<Utc>| {
            (since < until).then(|| PartOfPeriod { since, until, within: (floor(since), ceil(until)) })
        };
        let (from, to) = (since.map_or(i32::MIN, ceil), until.map_or(i32::MAX, floor));
        if from > to {
            let part = since.zip(until).and_then(|(since, until)| part(since, until));
            return Periods { minutes: (0, 0), parts: part.into_iter().collect() };
        }
        let before = since.and_then(|since| part(since, start_of(from)));
        let behind = until.and_then(|until| part(start_of(to), until));
        Periods { minutes: (from, to), parts: [before, behind].into_iter().flatten().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::filter;
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn filters_of_counted_facts_and_times_are_counted() {
        for (asked, facts) in [
            (vec![], Some(0)),
            (vec![("severity", "high"), ("severity", "low"), ("alert_name", "A")], Some(2)),
            (vec![("status", "failed"), ("environment", "production"), ("since", "1h")], Some(2)),
            (vec![("target_resource", "pod/a")], None),
            (vec![("severity", "high"), ("remediation_request_id", "rr-1")], None),
        ] {
            assert_eq!(CountedFilter::of(&filter(&asked)).map(|counted| counted.facts()), facts, "{asked:?}");
        }
    }

    #[test]
    fn a_time_is_whole_periods_and_their_rest() {
        let minute = minute_of(time("2026-03-01T10:00:00Z"));
        let of = |since: Option<&str>, until: Option<&str>, step: i32| {
            Periods::of(since.map(time), until.map(time), |_| step)
        };
        let part = |since: &str, until: &str, within: (i32, i32)| PartOfPeriod {
            since: time(since),
            until: time(until),
            within: (minute + within.0, minute + within.1),
        };
        for (since, until, step, minutes, parts) in [
            (None, None, 1, (i32::MIN, i32::MAX), vec![]),
            (Some("2026-03-01T10:00:00Z"), Some("2026-03-01T10:02:00Z"), 1, (minute, minute + 2), vec![]),
            (
                Some("2026-03-01T10:00:00.5Z"),
                Some("2026-03-01T10:02:07Z"),
                1,
                (minute + 1, minute + 2),
                vec![
                    part("2026-03-01T10:00:00.5Z", "2026-03-01T10:01:00Z", (0, 1)),
                    part("2026-03-01T10:02:00Z", "2026-03-01T10:02:07Z", (2, 3)),
                ],
            ),
            (
                Some("2026-03-01T10:00:01Z"),
                Some("2026-03-01T10:00:02Z"),
                1,
                (0, 0),
                vec![part("2026-03-01T10:00:01Z", "2026-03-01T10:00:02Z", (0, 1))],
            ),
            (Some("2026-03-01T10:00:02Z"), Some("2026-03-01T10:00:01Z"), 1, (0, 0), vec![]),
            // An hour that is known as a whole only.
            (
                None,
                Some("2026-03-01T10:02:00Z"),
                60,
                (i32::MIN, minute),
                vec![part("2026-03-01T10:00:00Z", "2026-03-01T10:02:00Z", (0, 60))],
            ),
            (
                Some("2026-03-01T10:02:00Z"),
                None,
                60,
                (minute + 60, i32::MAX),
                vec![part("2026-03-01T10:02:00Z", "2026-03-01T11:00:00Z", (0, 60))],
            ),
        ] {
            assert_eq!(of(since, until, step), Periods { minutes, parts }, "{since:?} {until:?} {step}");
        }
    }
}
