//! How one setting is read from its text. An error is worded so that it can follow the name of the variable.

use chrono::TimeDelta;
use data_storage_actors::domain::span;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Audit ids hold times from 1970 to the year 2255. Fifty years before now is never before 1970.
pub(super) const MAX_AGE_DAYS: i64 = 50 * 365;
pub(super) const MAX_AHEAD_DAYS: i64 = 366;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.replace("localhost:", "127.0.0.1:") };
    SocketAddr::from_str(&text).map_err(|_| "must be an address and a port, like 0.0.0.0:8080".into())
}

pub(super) fn number<T: FromStr + PartialOrd + fmt::Display>(text: &str, least: T, most: T) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(n) if n >= least && n <= most => Ok(n),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

pub(super) fn connections(text: &str) -> Result<u32, String> {
    number(text, 1, 1000)
}

pub(super) fn permits(text: &str) -> Result<usize, String> {
    number(text, 1, 1_000_000)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    // A setting may have a plus sign.
    span::parse(text.strip_prefix('+').unwrap_or(text))
        .filter(|duration| *duration <= Duration::from_secs(100 * 366 * 86_400))
        .ok_or_else(|| "must be a duration, like 500ms, 5s, 10m, 24h or 400d".into())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|d| if d.is_zero() { Err("must be longer than 0".into()) } else { Ok(d) })
}

pub(super) fn time_span(text: &str, most_days: i64) -> Result<TimeDelta, String> {
    let span = TimeDelta::from_std(duration(text)?).unwrap_or(TimeDelta::MAX);
    if span > TimeDelta::days(most_days) { Err(format!("must be at most {most_days}d")) } else { Ok(span) }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".into())
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.trim() {
        text if text.ends_with("MiB") => (&text[..text.len() - 3], 1 << 20),
        text if text.ends_with("KiB") => (&text[..text.len() - 3], 1 << 10),
        text => (text, 1),
    };
    let wrong = || "must be a number of bytes, like 65536, 64KiB or 1MiB, at most 1024MiB".to_owned();
    let n: usize = digits.trim().parse().map_err(|_| wrong())?;
    n.checked_mul(factor).filter(|n| (1..=1 << 30).contains(n)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("400d"), Ok(Duration::from_secs(400 * 86_400)));
        assert_eq!(duration("+5s"), duration("5s"));
        assert_eq!(duration("36600d"), Ok(Duration::from_secs(36_600 * 86_400)));
        assert!(duration("36601d").is_err() && duration("++5s").is_err() && duration("1h30m").is_err());
        assert!(duration("5").is_err() && duration("-5s").is_err() && duration("99999999999d").is_err());
        assert_eq!((bytes("64KiB"), bytes("1 MiB")), (Ok(65_536), Ok(1 << 20)));
        assert!(bytes("0").is_err() && bytes("2GiB").is_err());
    }
}
