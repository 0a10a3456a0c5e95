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
    /// From the first time to before the second.
    pub rest: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Periods {
    /// `step` says into how many minutes an hour (counted from 1970) can be told apart: a period begins and ends at one of them.
    pub fn of(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>, step: impl Fn(i32) -> i32) -> Self {
        let floor = |minute: i32| {
            let step = step(minute.div_euclid(MINUTES_OF_AN_HOUR));
            minute - minute.rem_euclid(step)
        };
        // The first whole period at or behind `since`, and the last one that ends at or before `until`.
        let from = since.map_or(i32::MIN, |since| {
            let minute = minute_of(since);
            let start = floor(minute);
            if start_of(start) == since {
                start
            } else {
                start.saturating_add(step(minute.div_euclid(MINUTES_OF_AN_HOUR)))
            }
        });
        let to = until.map_or(i32::MAX, |until| floor(minute_of(until)));
        if from > to {
            let rest = since.zip(until).filter(|(since, until)| since < until);
            return Periods { minutes: (0, 0), rest: rest.into_iter().collect() };
        }
        let before = since.map(|since| (since, start_of(from)));
        let behind = until.map(|until| (start_of(to), until));
        let rest = [before, behind].into_iter().flatten().filter(|(from, to)| from < to).collect();
        Periods { minutes: (from, to), rest }
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
        let (start, minute) = (time("2026-03-01T10:00:00Z"), minute_of(time("2026-03-01T10:00:00Z")));
        let by_minute = |since: &str, until: &str| Periods::of(Some(time(since)), Some(time(until)), |_| 1);
        assert_eq!(
            by_minute("2026-03-01T10:00:00Z", "2026-03-01T10:02:00Z"),
            Periods { minutes: (minute, minute + 2), rest: vec![] }
        );
        let (since, until) = (time("2026-03-01T10:00:00.5Z"), time("2026-03-01T10:02:07Z"));
        assert_eq!(
            Periods::of(Some(since), Some(until), |_| 1),
            Periods {
                minutes: (minute + 1, minute + 2),
                rest: vec![(since, start_of(minute + 1)), (start_of(minute + 2), until)]
            }
        );
        let within = (time("2026-03-01T10:00:01Z"), time("2026-03-01T10:00:02Z"));
        assert_eq!(Periods::of(Some(within.0), Some(within.1), |_| 1), Periods { minutes: (0, 0), rest: vec![within] });
        assert_eq!(Periods::of(Some(within.1), Some(within.0), |_| 1), Periods { minutes: (0, 0), rest: vec![] });
        assert_eq!(Periods::of(None, None, |_| 1), Periods { minutes: (i32::MIN, i32::MAX), rest: vec![] });
        // An hour that is known as a whole only.
        let until = time("2026-03-01T10:02:00Z");
        assert_eq!(
            Periods::of(None, Some(until), |_| 60),
            Periods { minutes: (i32::MIN, minute), rest: vec![(start, until)] }
        );
        assert_eq!(
            Periods::of(Some(until), None, |_| 60),
            Periods { minutes: (minute + 60, i32::MAX), rest: vec![(until, start_of(minute + 60))] }
        );
    }
}
