//! Which incidents a reader asks for.

use super::facts::{FACTS, Fact, copied};
use super::invalid::{Invalid, Reason};
use super::parameters::Parameters;
use super::span;
use super::time::{next_micros, parse_rfc3339};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::time::Duration;

/// The filters of the incident list; all that are given must fit. `since` is inclusive, `until` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IncidentFilter {
    /// The values that each fact may have, sorted, in the order of [`FACTS`]; none where any will do.
    values: [Vec<String>; FACTS.len()],
    pub remediation_request_id: Option<String>,
    pub since: Option<TimeBound>,
    pub until: Option<TimeBound>,
}

/// An instant, given as a time or as a span before the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBound {
    pub at: DateTime<Utc>,
    span: Option<Duration>,
}

/// Values of one fact, at most.
pub const MOST_VALUES: usize = 20;

/// What can be filtered by beside facts: the filter's name, and the name that an error of a search gives it.
const OTHERS: [(&str, &str); 3] = [
    ("remediation_request_id", "filters.remediation_request_id"),
    ("since", "filters.since"),
    ("until", "filters.until"),
];

/// The names of all filters, in the contract's order.
pub fn filters() -> &'static [&'static str] {
    static FILTERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| search_filters().map(|(name, _)| name).collect());
    &FILTERS
}

/// All filters: their names, and the names that errors of a search give them.
pub fn search_filters() -> impl Iterator<Item = (&'static str, &'static str)> {
    copied().filter_map(|fact| Some((fact.filter?, fact.in_search))).chain(OTHERS)
}

pub(super) fn too_many(name: &'static str) -> Invalid {
    Invalid::wrong(name, format_args!("may have {MOST_VALUES} values"))
}

/// Whether a filter of this name may have several values.
pub fn takes_several(name: &str) -> bool {
    OTHERS.iter().all(|(other, _)| *other != name)
}

impl IncidentFilter {
    /// Sets the filter of this name, one of [`filters`], from its text. A fact may be given again: then either value fits. `now` is what spans
    /// count from.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn set(&mut self, name: &'static str, value: &str, now: DateTime<Utc>) -> Result<(), Invalid> {
        match name {
            "remediation_request_id" => self.remediation_request_id = Some(text(name, value, 255)?),
            "since" => self.since = Some(TimeBound::parse(name, value, now)?),
            "until" => self.until = Some(TimeBound::parse(name, value, now)?),
            _ => {
                let place = FACTS.iter().position(|fact| fact.filter == Some(name));
                let place = place.ok_or_else(|| Invalid::unnamed(name, "is not a filter"))?;
                let unknown = |words| Invalid::named(name, Reason::UnknownWord, format_args!("must be {words}"));
                let value = match FACTS[place].parse_word(value).map_err(unknown)? {
                    Some(word) => word.to_owned(),
                    None => text(name, value, FACTS[place].longest)?,
                };
                let values = &mut self.values[place];
                if let Err(at) = values.binary_search(&value) {
                    if values.len() == MOST_VALUES {
                        return Err(too_many(name));
                    }
                    values.insert(at, value);
                }
            }
        }
        Ok(())
    }

    /// The facts that are asked for, and the values that each of them may have: at least one.
    pub fn facts(&self) -> impl Iterator<Item = (&'static Fact, &[String])> + Clone {
        FACTS
            .iter()
            .zip(&self.values)
            .filter(|(_, values)| !values.is_empty())
            .map(|(fact, values)| (fact, &values[..]))
    }

    /// The values that one fact may have; none where any will do.
    pub fn values_of(&self, fact: &Fact) -> &[String] {
        self.facts().find(|(asked, _)| asked.column == fact.column).map_or(&[], |(_, values)| values)
    }

    /// The same for one namespace and cluster; `None` where it does not let them through.
    pub fn in_place(&self, namespace: &str, cluster: &str) -> Option<Self> {
        let mut filter = self.clone();
        for (column, value) in [("namespace", namespace), ("cluster_name", cluster)] {
            let place = FACTS.iter().position(|fact| fact.column == column)?;
            let values = &mut filter.values[place];
            if !values.is_empty() && !values.iter().any(|known| known == value) {
                return None;
            }
            *values = vec![value.to_owned()];
        }
        Some(filter)
    }

    /// What it asks of these facts and of the time, and what it asks beside that.
    pub fn split(&self, is_first: impl Fn(&Fact) -> bool) -> (Self, Self) {
        let (mut first, mut rest) = (self.clone(), self.clone());
        for (place, fact) in FACTS.iter().enumerate() {
            let other = if is_first(fact) { &mut rest } else { &mut first };
            other.values[place].clear();
        }
        first.remediation_request_id = None;
        (rest.since, rest.until) = (None, None);
        (first, rest)
    }

    /// Each part of it that the vector store has an index for, by itself.
    pub fn indexed(&self) -> Vec<IncidentFilter> {
        let none = IncidentFilter::default;
        let one = |place: usize| {
            let mut part = none();
            part.values[place].clone_from(&self.values[place]);
            part
        };
        let facts = FACTS.iter().enumerate().filter(|(_, fact)| fact.indexed).map(|(place, _)| one(place));
        let request = IncidentFilter { remediation_request_id: self.remediation_request_id.clone(), ..none() };
        let times = IncidentFilter { since: self.since, until: self.until, ..none() };
        facts.chain([request, times]).filter(|part| *part != none()).collect()
    }

    /// Each filter that is set, by itself, with its name.
    pub fn parts(&self) -> Vec<(&'static str, IncidentFilter)> {
        let none = IncidentFilter::default;
        let facts = FACTS.iter().zip(&self.values).enumerate().filter_map(|(place, (fact, values))| {
            let mut part = none();
            part.values[place].clone_from(values);
            Some((fact.filter?, part))
        });
        let request = IncidentFilter { remediation_request_id: self.remediation_request_id.clone(), ..none() };
        let since = IncidentFilter { since: self.since, ..none() };
        let until = IncidentFilter { until: self.until, ..none() };
        let others = [("remediation_request_id", request), ("since", since), ("until", until)];
        facts.chain(others).filter(|(_, part)| *part != none()).collect()
    }

    /// What the filter says of times and the request, without the facts.
    pub fn without_facts(&self) -> Self {
        IncidentFilter { values: Default::default(), ..self.clone() }
    }

    /// The filters among the parameters of a query.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn from_query(query: &Parameters, now: DateTime<Utc>) -> Result<Self, Invalid> {
        let mut filter = IncidentFilter::default();
        for name in filters() {
            if takes_several(name) {
                let values = query.all(name)?;
                if values.len() > MOST_VALUES {
                    return Err(too_many(name));
                }
                for value in values {
                    filter.set(name, value, now)?;
                }
            } else if *name == "remediation_request_id"
                && let Some(value) = query.get(name)?
            {
                filter.set(name, value, now)?;
            }
        }
        filter.since = TimeBound::from_query(query, "since", now)?;
        filter.until = TimeBound::from_query(query, "until", now)?;
        Ok(filter)
    }

    /// Eight bytes that tell one set of filters from another, in whatever order this program keeps them.
    pub fn fingerprint(&self) -> [u8; 8] {
        let mut parts: Vec<(&str, String)> = Vec::new();
        for (fact, values) in self.facts() {
            parts
                .extend(fact.filter.into_iter().flat_map(|name| values.iter().map(move |value| (name, value.clone()))));
        }
        parts.extend(self.remediation_request_id.clone().map(|request| ("remediation_request_id", request)));
        parts.extend(self.since.map(|time| ("since", time.fixed())));
        parts.extend(self.until.map(|time| ("until", time.fixed())));
        parts.sort();
        let mut digest = Sha256::new();
        for (name, value) in parts {
            digest.update((value.len() as u64).to_be_bytes()); // usize fits into 64 bits
            digest.update(name);
            digest.update([0]);
            digest.update(value);
        }
        head(&digest.finalize())
    }

    /// As [`Self::fingerprint`], as the first version of cursors had it: a walk that an earlier program began goes on.
    pub fn first_fingerprint(&self) -> [u8; 8] {
        let value = |name: &str| {
            let (_, values) = self.facts().find(|(fact, _)| fact.filter == Some(name))?;
            values.first()
        };
        // The names of words as Rust had them: `rolled_back` was RolledBack.
        let word = |name: &str| {
            let word = value(name)?.split('_').map(|part| part[..1].to_ascii_uppercase() + &part[1..]);
            Some(format!("Some({})", word.collect::<String>()))
        };
        let word = |name: &str| word(name).unwrap_or_else(|| "None".to_owned());
        let text = format!(
            "IncidentFilter {{ alert_name: {:?}, severity: {}, action_type: {:?}, namespace: {:?}, cluster: {:?}, \
             status: {}, remediation_request_id: {:?}, since: {:?}, until: {:?} }}",
            value("alert_name"),
            word("severity"),
            value("action_type"),
            value("namespace"),
            value("cluster"),
            word("status"),
            self.remediation_request_id,
            self.since.map(|bound| bound.at),
            self.until.map(|bound| bound.at)
        );
        head(&Sha256::digest(text))
    }
}

impl TimeBound {
    /// # Errors
    /// When the parameter is neither a time nor a span.
    pub fn from_query(query: &Parameters, name: &'static str, now: DateTime<Utc>) -> Result<Option<Self>, Invalid> {
        // A `+` that was not escaped in the query has become a space.
        query.get(name)?.map(|value| Self::parse(name, &value.replace(' ', "+"), now)).transpose()
    }

    fn parse(name: &'static str, value: &str, now: DateTime<Utc>) -> Result<Self, Invalid> {
        if let Some(at) = parse_rfc3339(value) {
            return Ok(TimeBound { at: next_micros(at), span: None });
        }
        let span = span::parse(value);
        let at = span.and_then(|span| now.checked_sub_signed(TimeDelta::from_std(span).ok()?));
        // PostgreSQL knows no time before 4713 BC.
        let at = at.filter(|at| at.timestamp() >= FIRST_SECOND);
        let wrong = "must be an RFC 3339 time, like 2025-11-01T10:00:00Z, or a span before now, like 24h or 7d";
        Ok(TimeBound { at: at.ok_or_else(|| Invalid::wrong(name, wrong))?, span })
    }

    /// What stays the same from one page of a walk to the next.
    pub(super) fn fixed(self) -> String {
        match self.span {
            Some(span) => format!("{} ms ago", span.as_millis()),
            None => self.at.timestamp_micros().to_string(),
        }
    }
}

impl From<DateTime<Utc>> for TimeBound {
    fn from(at: DateTime<Utc>) -> Self {
        TimeBound { at, span: None }
    }
}

/// 0001-01-01T00:00:00Z: earlier instants have no RFC 3339 form.
const FIRST_SECOND: i64 = -62_135_596_800;

fn head(digest: &[u8]) -> [u8; 8] {
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    head
}

pub(super) fn text(name: &'static str, value: &str, longest: usize) -> Result<String, Invalid> {
    if value.contains('\0') {
        return Err(Invalid::wrong(name, "must not contain a NUL character"));
    }
    if value.chars().count() > longest {
        return Err(Invalid::named(name, Reason::TooLong, format_args!("is longer than {longest} characters")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn filter(values: &[(&'static str, &str)]) -> IncidentFilter {
        let mut filter = IncidentFilter::default();
        for (name, value) in values {
            filter.set(name, value, NOW).expect(name);
        }
        filter
    }

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_764_000_000, 0).unwrap();

    #[test]
    fn facts_come_first_and_times_last() {
        assert!(filters().starts_with(&["alert_name", "severity", "action_type", "namespace", "cluster", "status"]));
        assert!(filters().ends_with(&["environment", "remediation_request_id", "since", "until"]));
        assert!(search_filters().all(|(name, full)| full.strip_prefix("filters.") == Some(name)));
    }

    #[test]
    fn words_are_stored_in_one_form() {
        let filter = filter(&[("severity", "Critical"), ("status", "Rolled-Back"), ("cluster", "A b")]);
        let values: Vec<(&str, &str)> = filter.facts().map(|(fact, values)| (fact.column, &*values[0])).collect();
        let expected = [("alert_severity", "critical"), ("cluster_name", "A b"), ("execution_status", "rolled_back")];
        assert_eq!(values, expected);
        for (name, value) in [("severity", "warning"), ("status", "maybe"), ("colour", "red"), ("since", "now")] {
            assert!(IncidentFilter::default().set(name, value, NOW).is_err(), "{name}");
        }
    }

    #[test]
    fn a_fact_may_have_several_values() {
        let several = filter(&[("cluster", "b"), ("cluster", "a"), ("cluster", "b")]);
        assert_eq!(several.facts().map(|(_, values)| values).collect::<Vec<_>>(), [["a", "b"]]);
        assert_eq!(several, filter(&[("cluster", "a"), ("cluster", "b")]));
        assert_ne!(several.fingerprint(), filter(&[("cluster", "a")]).fingerprint());
        let mut full = several;
        for n in 0..18 {
            full.set("cluster", &n.to_string(), NOW).expect("room");
        }
        assert!(full.set("cluster", "a", NOW).is_ok() && full.set("cluster", "c", NOW).is_err());
    }

    #[test]
    fn spans_count_from_now() {
        // What is at or after it, or before it, is whole microseconds.
        let between = filter(&[("since", "2025-11-01T10:00:00.0000015Z"), ("until", "2025-11-01T10:00:00.000001Z")]);
        let micros = |bound: Option<TimeBound>| bound.map(|bound| bound.at.timestamp_subsec_nanos());
        assert_eq!((micros(between.since), micros(between.until)), (Some(2000), Some(1000)));
        let spans = filter(&[("since", "24h"), ("until", "90m")]);
        let at = |bound: Option<TimeBound>| bound.map(|bound| (NOW - bound.at).num_minutes());
        assert_eq!((at(spans.since), at(spans.until)), (Some(24 * 60), Some(90)));
        let mut later = IncidentFilter::default();
        later.set("since", "1d", NOW + TimeDelta::minutes(5)).expect("a span");
        later.set("until", "90m", NOW + TimeDelta::minutes(5)).expect("a span");
        assert_eq!(later.fingerprint(), spans.fingerprint(), "a walk goes on");
        assert!(later.set("since", "9999999d", NOW).is_err() && later.set("since", "-1h", NOW).is_err());
    }

    /// Cursors bear the fingerprint: it must be the same in every program from now on.
    #[test]
    fn the_fingerprint_is_fixed() {
        let filter = filter(&[("cluster", "a"), ("status", "rolled_back"), ("since", "2025-11-01T10:00:00Z")]);
        assert_eq!(filter.fingerprint(), [179, 142, 222, 41, 98, 30, 75, 149]);
        assert_eq!(filter.first_fingerprint(), [50, 63, 126, 9, 189, 234, 59, 119]);
    }
}
