//! Times as clients write and read them (RFC 3339), and as PostgreSQL keeps them (microseconds).

use super::invalid::{Invalid, Reason};
use chrono::{DateTime, Datelike, Months, NaiveDate, SecondsFormat, TimeDelta, Utc};
use std::sync::Arc;

/// The clock from which the service reads the time. A test hands in its own clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The clock of the machine.
#[allow(clippy::disallowed_methods)] // the one place that reads it: all others are handed a `Clock`
pub fn system_clock() -> Clock {
    Arc::new(Utc::now)
}

/// Reads an RFC 3339 time with its nanoseconds.
pub fn parse_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    // chrono also accepts a space for the T, and a typographic minus; the contract does not.
    if !text.is_ascii() || !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    // A leap second becomes the first second of the next minute, as in PostgreSQL.
    match time.timestamp_subsec_nanos().checked_sub(1_000_000_000) {
        Some(nanos) => DateTime::from_timestamp(time.timestamp() + 1, nanos),
        None => Some(time),
    }
}

/// Whether this is Go's zero `time.Time`.
pub fn is_go_zero(time: DateTime<Utc>) -> bool {
    time.timestamp() == -62_135_596_800 && time.timestamp_subsec_nanos() == 0
}

/// The instant cut to whole microseconds, as `timestamptz` holds it.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// The first whole microsecond that is not before the instant: a bound of what `timestamptz` holds.
pub fn next_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    let cut = to_micros(time);
    if cut < time { cut + TimeDelta::microseconds(1) } else { time }
}

/// RFC 3339 in UTC with as few fractional digits as the instant needs, as Go's clients expect it.
pub fn format_rfc3339(time: DateTime<Utc>) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let cut = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{cut}Z")
}

/// For serde: `#[serde(serialize_with = …)]`.
pub fn serialize<S: serde::Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format_rfc3339(*time))
}

/// Like [`serialize`]; a time that is not known is `null`.
pub fn serialize_option<S: serde::Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, to),
        None => to.serialize_none(),
    }
}

/// The first day of the month of `time`.
pub fn month_of(time: DateTime<Utc>) -> NaiveDate {
    let date = time.date_naive();
    date.with_day(1).unwrap_or(date) // every month has a first day
}

/// Which times an audit may have.
#[derive(Debug, Clone, Copy)]
pub struct TimeWindow {
    pub max_age: TimeDelta,
    pub max_ahead: TimeDelta,
    /// How many whole months before the present one are kept; 0 keeps all.
    pub retention_months: u32,
}

impl TimeWindow {
    /// The first instant that is kept at `now`; `None` if everything is kept.
    pub fn kept_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let months = Months::new(self.retention_months);
        let first = month_of(now).checked_sub_months(months).filter(|_| self.retention_months > 0)?;
        Some(first.and_time(chrono::NaiveTime::MIN).and_utc())
    }

    /// Checks that `field` may have this `time`, as seen at `now`.
    pub fn check(&self, field: &'static str, time: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Invalid> {
        let kept_from = match self.retention_months {
            0 => None,
            months => month_of(now).checked_sub_months(Months::new(months)),
        };
        if time < now - self.max_age || kept_from.is_some_and(|month| time.date_naive() < month) {
            return Err(Invalid::named(field, Reason::Invalid, "is older than the service keeps audits"));
        }
        if time > now + self.max_ahead {
            return Err(Invalid::named(field, Reason::Invalid, "is too far in the future"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_as_short_as_they_can_be() {
        for (given, shown) in [
            ("2025-11-01T10:00:00Z", "2025-11-01T10:00:00Z"),
            ("2025-11-01T10:00:07.200Z", "2025-11-01T10:00:07.2Z"),
            ("2025-11-01T12:00:00.000001+02:00", "2025-11-01T10:00:00.000001Z"),
            ("2025-11-01T10:00:10Z", "2025-11-01T10:00:10Z"),
            ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
        ] {
            assert_eq!(format_rfc3339(parse_rfc3339(given).expect(given)), shown);
        }
        assert_eq!(parse_rfc3339("2025-11-01 10:00:00Z"), None);
    }

    #[test]
    fn gos_zero_time_is_known_in_any_zone() {
        for text in ["0001-01-01T00:00:00Z", "0001-01-01T02:00:00+02:00"] {
            assert!(is_go_zero(parse_rfc3339(text).expect(text)));
        }
    }

    #[test]
    fn retention_cuts_at_a_month() {
        let window = TimeWindow { max_age: TimeDelta::days(400), max_ahead: TimeDelta::hours(1), retention_months: 2 };
        let now = parse_rfc3339("2026-03-15T00:00:00Z").expect("a time");
        let check = |text: &str| window.check("createdAt", parse_rfc3339(text).expect(text), now).is_ok();
        assert!(check("2026-01-01T00:00:00Z"));
        assert!(!check("2025-12-31T23:59:59Z"));
        assert!(!check("2026-03-15T01:00:01Z"));
    }
}
