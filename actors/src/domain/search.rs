//! What a search asks for.

use super::filter::{IncidentFilter, MOST_VALUES, filters, search_filters, takes_several, too_many};
use super::invalid::{Invalid, Reason};
use super::json::{Fault, Json, integer, parse_members, parse_members_of};
use super::span;
use super::time::parse_rfc3339;
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::time::Duration;

/// A search for similar incidents.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub about: About,
    pub filter: IncidentFilter,
    /// 1–100.
    pub limit: usize,
    /// Least similarity, 0…1; `None`: the embedder's own.
    pub min_similarity: Option<f64>,
    /// After this long an incident counts half; `None`: age does not matter.
    pub half_life: Option<Duration>,
    /// As the audits received by then would have answered.
    pub as_of: Option<DateTime<Utc>>,
    /// Whether the hits have their texts.
    pub include_text: bool,
    pub collapse: Collapse,
    /// The id of an incident of which is told why it is a hit or not.
    pub explain: Option<i64>,
}

/// Which incidents are alike, so that one hit stands for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Collapse {
    /// Each is a hit of its own.
    #[default]
    None,
    /// Those with the same pattern of features.
    Pattern,
    /// Those of the same alert.
    Alert,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Text(String),
    /// An incident's id; it is never among its own hits.
    Incident(i64),
}

pub const DEFAULT_LIMIT: usize = 10;
pub const MAX_LIMIT: usize = 100;
/// Of a query's text, in bytes.
pub const MAX_QUERY: usize = 64 * 1024;

const NAMES: [&str; 10] = [
    "query",
    "incident_id",
    "filters",
    "limit",
    "min_similarity",
    "half_life",
    "as_of",
    "include",
    "collapse",
    "explain",
];
impl Search {
    /// Reads the body of a search; the first fault in the order of its fields is reported.
    ///
    /// # Errors
    /// What is wrong, by the name of its field.
    pub fn parse(body: &[u8], now: DateTime<Utc>) -> Result<Self, Invalid> {
        let members = parse_members(body).map_err(|error| Invalid::body(error.to_string()))?;
        let unknown = members.iter().find(|(name, _)| !NAMES.contains(&name.as_str()));
        let unknown = unknown.map(|(name, _)| Invalid::unnamed(name, "is not a field of a search"));
        let mut members = SearchMembers(members);
        let query = members.text("query", MAX_QUERY)?;
        let incident = members.take("incident_id")?.map(|value| incident_id("incident_id", &value)).transpose()?;
        let about = match (query, incident) {
            (Some(text), None) => About::Text(text),
            (None, Some(id)) => About::Incident(id),
            (None, None) => return Err(Invalid::required("query")),
            (Some(_), Some(_)) => return Err(Invalid::wrong("incident_id", "and query must not both be given")),
        };
        let filters = members.take("filters").map_err(|invalid| faulty_filter(body).unwrap_or(invalid))?;
        let filter = filters.map(|value| filter(value, now)).transpose()?.unwrap_or_default();
        let limit = members.take("limit")?.map(|value| limit(&value)).transpose()?.unwrap_or(DEFAULT_LIMIT);
        let min_similarity = members.take("min_similarity")?.map(|value| match value {
            Json::Number(number) => min_similarity(&number),
            _ => Err(Invalid::wrong("min_similarity", "must be a number from 0 to 1")),
        });
        let min_similarity = min_similarity.transpose()?;
        let half_life = members.text("half_life", 32)?.map(|text| half_life(&text)).transpose()?;
        let as_of = members.text("as_of", 64)?.map(|text| as_of(&text)).transpose()?;
        let include_text = members.text("include", 32)?.map(|text| include(&text)).transpose()?.unwrap_or_default();
        let collapse = members.text("collapse", 32)?.map(|text| collapse(&text)).transpose()?.unwrap_or_default();
        let explain = members.take("explain")?.map(|value| incident_id("explain", &value)).transpose()?;
        match unknown {
            Some(invalid) => Err(invalid),
            None => {
                Ok(Search { about, filter, limit, min_similarity, half_life, as_of, include_text, collapse, explain })
            }
        }
    }
}

fn incident_id(field: &'static str, value: &Json) -> Result<i64, Invalid> {
    let id = match value {
        Json::Number(number) => integer(number).filter(|id| (1..1 << 53).contains(id)),
        _ => None,
    };
    id.ok_or_else(|| Invalid::wrong(field, "must be a positive integer below 2^53"))
}

fn limit(value: &Json) -> Result<usize, Invalid> {
    let limit = match value {
        Json::Number(number) => integer(number)
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=MAX_LIMIT).contains(limit)),
        _ => None,
    };
    limit.ok_or_else(|| Invalid::wrong("limit", "must be a whole number from 1 to 100"))
}

/// From a query's text, or a number of a body.
///
/// # Errors
/// When it is no number from 0 to 1.
pub fn min_similarity(text: &str) -> Result<f64, Invalid> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(Invalid::wrong("min_similarity", "must be a number from 0 to 1")),
    }
}

/// # Errors
/// When it is no duration like `90d`, longer than nothing.
pub fn half_life(text: &str) -> Result<Duration, Invalid> {
    let wrong = || Invalid::wrong("half_life", "must be a duration, like 12h or 90d");
    span::parse(text).filter(|span| !span.is_zero()).ok_or_else(wrong)
}

/// # Errors
/// When it is no time.
pub fn as_of(text: &str) -> Result<DateTime<Utc>, Invalid> {
    let wrong = || Invalid::wrong("as_of", "must be an RFC 3339 time, like 2025-11-01T10:00:00Z");
    parse_rfc3339(text).ok_or_else(wrong)
}

/// Whether the hits shall have their texts.
///
/// # Errors
/// For another word than `text`.
pub fn include(text: &str) -> Result<bool, Invalid> {
    match text {
        "text" => Ok(true),
        _ => Err(Invalid::named("include", Reason::UnknownWord, format_args!("must be text"))),
    }
}

/// # Errors
/// For a word that is none of these.
pub fn collapse(text: &str) -> Result<Collapse, Invalid> {
    match text {
        "none" => Ok(Collapse::None),
        "pattern" => Ok(Collapse::Pattern),
        "alert" => Ok(Collapse::Alert),
        _ => Err(Invalid::named("collapse", Reason::UnknownWord, format_args!("must be none, pattern or alert"))),
    }
}

fn filter(value: Json, now: DateTime<Utc>) -> Result<IncidentFilter, Invalid> {
    let Json::Object(members) = value else { return Err(Invalid::wrong("filters", "must be an object")) };
    let mut filter = IncidentFilter::default();
    for (name, full) in search_filters() {
        let Some((_, value)) = members.iter().find(|(member, _)| member == name) else { continue };
        let values = match value {
            Json::Null => continue,
            Json::Array(values) if takes_several(name) && values.is_empty() => {
                return Err(Invalid::wrong(full, "must not be empty"));
            }
            Json::Array(values) if takes_several(name) && values.len() > MOST_VALUES => {
                return Err(within(full, name, too_many(name)));
            }
            Json::Array(values) if takes_several(name) => values,
            value => std::slice::from_ref(value),
        };
        for value in values {
            match value {
                Json::String(text) if text.is_empty() => return Err(Invalid::wrong(full, "must not be empty")),
                Json::String(text) => filter.set(name, text, now).map_err(|invalid| within(full, name, invalid))?,
                _ if takes_several(name) => return Err(Invalid::wrong(full, "must be a string or a list of strings")),
                _ => return Err(Invalid::wrong(full, "must be a string")),
            }
        }
    }
    match members.iter().find(|(name, _)| !filters().contains(&name.as_str())) {
        Some((name, _)) => Err(Invalid::unnamed(&format!("filters.{name}"), "is not a filter")),
        None => Ok(filter),
    }
}

/// Which filter cannot be read.
fn faulty_filter(body: &[u8]) -> Option<Invalid> {
    let mut members = SearchMembers(parse_members_of(body, "filters")?);
    search_filters().find_map(|(name, full)| {
        let fault = members.take(name).err()?;
        Some(within(full, name, fault))
    })
}

/// The same fault, of a filter within a body.
fn within(full: &'static str, name: &str, invalid: Invalid) -> Invalid {
    let rest = invalid.detail.strip_prefix(name).unwrap_or(&invalid.detail);
    Invalid { detail: format!("{full}{rest}"), field: Some(Cow::Borrowed(full)), ..invalid }
}

/// The members of a body that have not been read yet.
struct SearchMembers(Vec<(String, Result<Json, Fault>)>);

impl SearchMembers {
    /// `null` is as good as absent.
    fn take(&mut self, name: &'static str) -> Result<Option<Json>, Invalid> {
        let mut values = Vec::new();
        while let Some(at) = self.0.iter().position(|(member, _)| member == name) {
            values.push(self.0.remove(at).1);
        }
        if values.len() > 1 {
            return Err(Invalid::wrong(name, "is there twice"));
        }
        let value = values.pop().transpose().map_err(|fault| Invalid::wrong(name, fault))?;
        Ok(value.filter(|value| *value != Json::Null))
    }

    fn text(&mut self, name: &'static str, max_bytes: usize) -> Result<Option<String>, Invalid> {
        match self.take(name)? {
            None => Ok(None),
            Some(Json::String(text)) if text.trim().is_empty() => Err(Invalid::wrong(name, "must not be empty")),
            Some(Json::String(text)) if text.len() > max_bytes => {
                Err(Invalid::named(name, Reason::TooLong, format_args!("is longer than {max_bytes} bytes")))
            }
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::wrong(name, "must be a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_764_000_000, 0).unwrap();

    #[test]
    fn the_first_wrong_field_is_named() {
        for (body, field) in [
            (r#"{}"#, "query"),
            (r#"{"query":""}"#, "query"),
            (r#"{"query":"a","query":"b"}"#, "query"),
            (r#"{"query":"a","incident_id":7}"#, "incident_id"),
            (r#"{"query":"a","filters":{"namespace":"a","namespace":"b"}}"#, "filters.namespace"),
            (r#"{"query":"a","filters":{"status":"failed","cluster":"a\u0000b"}}"#, "filters.cluster"),
            (r#"{"query":"a","filters":{"x":1,"x":2}}"#, "filters"),
            (r#"{"incident_id":0}"#, "incident_id"),
            (r#"{"query":"a","filters":[]}"#, "filters"),
            (r#"{"query":"a","filters":{"severity":"urgent"},"limit":0}"#, "filters.severity"),
            (r#"{"query":"a","filters":{"colour":"red"}}"#, "filters.colour"),
            (r#"{"query":"a","filters":{"since":7}}"#, "filters.since"),
            (r#"{"query":"a","filters":{"cluster":["a",7]}}"#, "filters.cluster"),
            (r#"{"query":"a","filters":{"cluster":[]}}"#, "filters.cluster"),
            (r#"{"query":"a","filters":{"since":["1h"]}}"#, "filters.since"),
            (r#"{"query":"a","limit":101,"as_of":"now"}"#, "limit"),
            (r#"{"query":"a","min_similarity":1.5}"#, "min_similarity"),
            (r#"{"query":"a","half_life":"0d"}"#, "half_life"),
            (r#"{"query":"a","as_of":"now"}"#, "as_of"),
            (r#"{"query":"a","include":"all"}"#, "include"),
            (r#"{"query":"a","collapse":"namespace"}"#, "collapse"),
            (r#"{"query":"a","explain":0}"#, "explain"),
            (r#"{"query":"a","colour":"red"}"#, "colour"),
        ] {
            let error = Search::parse(body.as_bytes(), NOW).expect_err(body);
            assert_eq!(error.field.as_deref(), Some(field), "{body}");
            assert!(error.detail.starts_with(field), "{}", error.detail);
        }
    }

    #[test]
    fn all_of_it() {
        let body = r#"{"query":"pods run out of memory","filters":{"severity":"high","since":"2025-11-01T00:00:00Z"},"limit":5,
            "min_similarity":0,"half_life":"90d","as_of":"2025-11-02T00:00:00Z"}"#;
        let search = Search::parse(body.as_bytes(), NOW).expect("valid");
        assert_eq!((search.limit, search.min_similarity), (5, Some(0.0)));
        assert_eq!(search.half_life, Some(Duration::from_secs(90 * 86_400)));
        assert!(search.filter.facts().count() == 1 && search.filter.since.is_some() && search.as_of.is_some());
    }
}
