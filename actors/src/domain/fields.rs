//! The named fields of a body. Their case does not matter, and a zero value of Go means that a field is absent. They
//! are read one by one in the order of the contract's tables, so that the first wrong field is the one that is
//! reported.

use super::attributes::Attributes;
use super::go_duration;
use super::invalid::{Invalid, Reason};
use super::json::{Fault, Json, Member, integer, parse_members};
use super::time::{is_go_zero, parse_rfc3339};
use chrono::{DateTime, Utc};
use std::borrow::Cow;

/// The longest duration, in nanoseconds, as in Go.
const MAX_NANOS: i64 = i64::MAX;

/// The members of one body, sorted into named fields and the rest.
pub struct Fields {
    named: Vec<(&'static str, Vec<Result<Json, Fault>>)>,
    rest: Vec<Member>,
}

impl Fields {
    /// `names` are the contract's camelCase names.
    pub fn parse(body: &[u8], names: &'static [&'static str]) -> Result<Self, Invalid> {
        let members = parse_members(body).map_err(|error| Invalid::body(error.to_string()))?;
        let mut named: Vec<(&'static str, Vec<Result<Json, Fault>>)> =
            names.iter().map(|name| (*name, Vec::new())).collect();
        let mut rest = Vec::new();
        for (key, value) in members {
            let name = name_of(names, &key);
            match named.iter_mut().find(|(known, _)| Some(*known) == name) {
                Some((_, values)) => values.push(value),
                None => rest.push((key, value)),
            }
        }
        Ok(Fields { named, rest })
    }

    /// Takes the value of a named field out. `None` if the field is absent or holds `""`, `0` or `null`.
    fn take(&mut self, name: &'static str) -> Result<Option<Json>, Invalid> {
        Ok(self.take_any(name)?.filter(|value| !is_zero(value)))
    }

    /// Like [`Self::take`], but `0` is a value.
    fn take_any(&mut self, name: &'static str) -> Result<Option<Json>, Invalid> {
        let Some((_, values)) = self.named.iter_mut().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        if values.len() > 1 {
            return Err(Invalid::wrong(name, "is there twice"));
        }
        let empty = |value: &Json| *value == Json::Null || *value == Json::String(String::new());
        let value = values.pop().transpose().map_err(|fault| Invalid::wrong(name, fault))?;
        Ok(value.filter(|value| !empty(value)))
    }

    /// Text of at most `max_chars` Unicode characters.
    pub fn text(&mut self, name: &'static str, max_chars: usize) -> Result<Option<String>, Invalid> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        if text.chars().count() > max_chars {
            let rest = format_args!("is longer than {max_chars} characters");
            return Err(Invalid::named(name, Reason::TooLong, rest));
        }
        Ok(Some(text))
    }

    /// Text of any length (`domain/long_text.rs`).
    pub fn long_text(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        self.string(name)
    }

    pub fn required_text(&mut self, name: &'static str, max_chars: usize) -> Result<String, Invalid> {
        self.text(name, max_chars)?.ok_or_else(|| Invalid::required(name))
    }

    fn string(&mut self, name: &'static str) -> Result<Option<String>, Invalid> {
        match self.take(name)? {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::wrong(name, "must be a string")),
        }
    }

    /// A word of a closed set. `words` lists the set for the client.
    pub fn word<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
        words: &str,
    ) -> Result<Option<T>, Invalid> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        match parse(&text) {
            Some(word) => Ok(Some(word)),
            None => Err(Invalid::named(name, Reason::UnknownWord, format_args!("must be {words}"))),
        }
    }

    /// A number from 0 to 1.
    pub fn share(&mut self, name: &'static str) -> Result<Option<f64>, Invalid> {
        let wrong = || Invalid::wrong(name, "must be a number from 0 to 1");
        match self.take(name)? {
            None => Ok(None),
            Some(Json::Number(number)) => match number.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
                _ => Err(wrong()),
            },
            Some(_) => Err(wrong()),
        }
    }

    /// An RFC 3339 time. Go's zero time counts as absent.
    pub fn time(&mut self, name: &'static str) -> Result<Option<DateTime<Utc>>, Invalid> {
        let wrong = || Invalid::wrong(name, "must be an RFC 3339 time, like 2025-11-01T10:00:00Z");
        match self.take(name)? {
            None => Ok(None),
            Some(Json::String(text)) => {
                let time = parse_rfc3339(&text).ok_or_else(wrong)?;
                Ok(Some(time).filter(|time| !is_go_zero(*time)))
            }
            Some(_) => Err(wrong()),
        }
    }

    /// `duration` (nanoseconds, or a Go duration string) or `durationMs`, in nanoseconds. With `zero_counts`, 0 is a
    /// duration; otherwise 0 counts as absent.
    pub fn duration(&mut self, zero_counts: bool) -> Result<Option<i64>, Invalid> {
        let keep = |nanos: &i64| zero_counts || *nanos != 0;
        let nanos = match self.take_any("duration")? {
            None => None,
            Some(zero) if is_zero(&zero) => Some(0),
            Some(Json::Number(number)) => Some(integer(&number).ok_or_else(|| {
                Invalid::wrong("duration", "must be an integer of nanoseconds or a duration like \"1.5s\"")
            })?),
            Some(Json::String(text)) => Some(
                go_duration::parse(&text)
                    .ok_or_else(|| Invalid::wrong("duration", "must be a duration like \"1.5s\""))?,
            ),
            Some(_) => return Err(Invalid::wrong("duration", "must be a number or a string")),
        };
        let nanos = nanos.filter(keep);
        if nanos.is_some_and(|nanos| nanos < 0) {
            return Err(Invalid::wrong("duration", "must not be negative"));
        }
        let millis = match self.take_any("durationMs")? {
            None => None,
            Some(zero) if is_zero(&zero) => Some(0),
            Some(Json::Number(number)) => match integer(&number) {
                Some(millis) if (0..=MAX_NANOS / 1_000_000).contains(&millis) => Some(millis * 1_000_000),
                _ => {
                    return Err(Invalid::wrong("durationMs", "must be an integer of milliseconds, not negative"));
                }
            },
            Some(_) => return Err(Invalid::wrong("durationMs", "must be an integer of milliseconds")),
        };
        match (nanos, millis.filter(keep)) {
            (Some(_), Some(_)) => Err(Invalid::wrong("durationMs", "and duration must not both be given")),
            (nanos, millis) => Ok(nanos.or(millis)),
        }
    }

    /// The fields that have no name in the contract.
    pub fn rest(self) -> Result<Option<Attributes>, Invalid> {
        let mut rest = Vec::with_capacity(self.rest.len());
        for (name, value) in self.rest {
            let value = value.map_err(|fault| Invalid::unnamed(&name, fault))?;
            rest.push((name, value));
        }
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = rest.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Invalid::unnamed(&pair[0].0, "is there twice"));
        }
        Ok(Attributes::new(rest))
    }
}

/// The named field that a key of a body stands for. Case and `_` do not count.
fn name_of(names: &'static [&'static str], key: &str) -> Option<&'static str> {
    let letters: Cow<'_, str> = if key.contains('_') { key.replace('_', "").into() } else { key.into() };
    names.iter().find(|name| name.eq_ignore_ascii_case(&letters)).copied()
}

/// Whether the value is `0` in any notation. A number that is too small for a float is not zero.
fn is_zero(value: &Json) -> bool {
    matches!(value, Json::Number(number) if {
        let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
        mantissa.bytes().all(|b| matches!(b, b'0' | b'.' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["alertName", "confidence", "duration", "durationMs", "createdAt"];

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes(), NAMES).expect(body)
    }

    #[test]
    fn names_match_without_case_and_underscore() {
        for key in ["alertName", "AlertName", "alert_name", "ALERTNAME", "_alert_name_"] {
            let mut fields = fields(&format!(r#"{{"{key}":"x"}}"#));
            assert_eq!(fields.text("alertName", 255), Ok(Some("x".into())), "{key}");
        }
        let mut twice = fields(r#"{"alertName":"x","alert_name":"x"}"#);
        assert_eq!(twice.text("alertName", 255).map_err(|e| e.detail), Err("alertName is there twice".into()));
        assert!(fields(r#"{"alert-name":"x"}"#).rest().is_ok_and(|rest| rest.is_some()));
    }

    #[test]
    fn zero_values_are_absent() {
        for body in [r#"{"alertName":""}"#, r#"{"alertName":null}"#, r#"{"alertName":0}"#, r#"{"alertName":0.0}"#] {
            assert_eq!(fields(body).text("alertName", 255), Ok(None), "{body}");
        }
        assert_eq!(fields(r#"{"createdAt":"0001-01-01T00:00:00Z"}"#).time("createdAt"), Ok(None));
        assert_eq!(fields(r#"{"confidence":1e-999}"#).share("confidence"), Ok(Some(0.0)));
    }

    #[test]
    fn durations() {
        let read =
            |body: &str, zero: bool| fields(body).duration(zero).map_err(|e| e.field.unwrap_or_default().into_owned());
        assert_eq!(read(r#"{"duration":1500000000}"#, false), Ok(Some(1_500_000_000)));
        assert_eq!(read(r#"{"duration":"1.5s"}"#, false), Ok(Some(1_500_000_000)));
        assert_eq!(read(r#"{"durationMs":1500}"#, false), Ok(Some(1_500_000_000)));
        assert_eq!(read(r#"{"duration":0,"durationMs":5}"#, false), Ok(Some(5_000_000)));
        assert_eq!(read(r#"{"duration":0,"durationMs":5}"#, true), Err("durationMs".into()));
        assert_eq!(read(r#"{"duration":0}"#, true), Ok(Some(0)));
        assert_eq!(read(r#"{"duration":-1}"#, false), Err("duration".into()));
        assert_eq!(read(r#"{"duration":1.5}"#, false), Err("duration".into()));
        assert_eq!(read(r#"{"duration":1.5e9}"#, false), Ok(Some(1_500_000_000)));
        assert_eq!(read(r#"{"durationMs":5.0}"#, false), Ok(Some(5_000_000)));
        assert_eq!(read(r#"{"durationMs":9223372036855}"#, false), Err("durationMs".into()));
    }
}
