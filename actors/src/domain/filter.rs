//! Which incidents a reader asks for.

use super::facts::{FACTS, Fact, copied};
use super::invalid::{Invalid, Reason};
use super::time::parse_rfc3339;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The filters of the incident list; all that are given must fit. `since` is inclusive, `until` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IncidentFilter {
    /// The value that each fact must have, in the order of [`FACTS`].
    values: [Option<String>; FACTS.len()],
    pub remediation_request_id: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

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

impl IncidentFilter {
    /// Sets the filter of this name, one of [`filters`], from its text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn set(&mut self, name: &'static str, value: &str) -> Result<(), Invalid> {
        match name {
            "remediation_request_id" => self.remediation_request_id = Some(text(name, value, 255)?),
            "since" => self.since = Some(time(name, value)?),
            "until" => self.until = Some(time(name, value)?),
            _ => {
                let place = FACTS.iter().position(|fact| fact.filter == Some(name));
                let place = place.ok_or_else(|| Invalid::unnamed(name, "is not a filter"))?;
                let unknown = |words| Invalid::named(name, Reason::UnknownWord, format_args!("must be {words}"));
                self.values[place] = Some(match FACTS[place].parse_word(value).map_err(unknown)? {
                    Some(word) => word.to_owned(),
                    None => text(name, value, FACTS[place].longest)?,
                });
            }
        }
        Ok(())
    }

    /// The facts that must have a value, and these values.
    pub fn facts(&self) -> impl Iterator<Item = (&'static Fact, &str)> {
        FACTS.iter().zip(&self.values).filter_map(|(fact, value)| Some((fact, value.as_deref()?)))
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

    /// What the filter says of times and the request, without the facts.
    pub fn without_facts(&self) -> Self {
        IncidentFilter { values: Default::default(), ..self.clone() }
    }

    /// The filters among the parameters of a query, by their names.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn from_query<'a>(get: impl Fn(&str) -> Result<Option<&'a str>, Invalid>) -> Result<Self, Invalid> {
        let mut filter = IncidentFilter::default();
        for name in filters() {
            if let Some(value) = get(name)? {
                filter.set(name, value)?;
            }
        }
        Ok(filter)
    }

    /// Eight bytes that tell one set of filters from another, in whatever order this program keeps them.
    pub fn fingerprint(&self) -> [u8; 8] {
        let micros = |time: DateTime<Utc>| time.timestamp_micros().to_string();
        let mut parts: Vec<(&str, String)> =
            self.facts().filter_map(|(fact, value)| Some((fact.filter?, value.to_owned()))).collect();
        parts.extend(self.remediation_request_id.clone().map(|request| ("remediation_request_id", request)));
        parts.extend(self.since.map(|time| ("since", micros(time))));
        parts.extend(self.until.map(|time| ("until", micros(time))));
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
        let value = |name: &str| self.facts().find(|(fact, _)| fact.filter == Some(name)).map(|(_, value)| value);
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
            self.since,
            self.until
        );
        head(&Sha256::digest(text))
    }
}

fn head(digest: &[u8]) -> [u8; 8] {
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    head
}

fn text(name: &'static str, value: &str, longest: usize) -> Result<String, Invalid> {
    if value.contains('\0') {
        return Err(Invalid::wrong(name, "must not contain a NUL character"));
    }
    if value.chars().count() > longest {
        return Err(Invalid::named(name, Reason::TooLong, format_args!("is longer than {longest} characters")));
    }
    Ok(value.to_owned())
}

fn time(name: &'static str, value: &str) -> Result<DateTime<Utc>, Invalid> {
    // A `+` that was not escaped in the query has become a space.
    parse_rfc3339(&value.replace(' ', "+"))
        .ok_or_else(|| Invalid::wrong(name, "must be an RFC 3339 time, like 2025-11-01T10:00:00Z"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn filter(values: &[(&'static str, &str)]) -> IncidentFilter {
        let mut filter = IncidentFilter::default();
        for (name, value) in values {
            filter.set(name, value).expect(name);
        }
        filter
    }

    #[test]
    fn facts_come_first_and_times_last() {
        assert!(filters().starts_with(&["alert_name", "severity", "action_type", "namespace", "cluster", "status"]));
        assert!(filters().ends_with(&["remediation_request_id", "since", "until"]));
        assert!(search_filters().all(|(name, full)| full.strip_prefix("filters.") == Some(name)));
    }

    #[test]
    fn words_are_stored_in_one_form() {
        let filter = filter(&[("severity", "Critical"), ("status", "Rolled-Back"), ("cluster", "A b")]);
        let values: Vec<(&str, &str)> = filter.facts().map(|(fact, value)| (fact.column, value)).collect();
        let expected = [("alert_severity", "critical"), ("cluster_name", "A b"), ("execution_status", "rolled_back")];
        assert_eq!(values, expected);
        for (name, value) in [("severity", "warning"), ("status", "maybe"), ("colour", "red"), ("since", "now")] {
            assert!(IncidentFilter::default().set(name, value).is_err(), "{name}");
        }
    }

    /// Cursors bear the fingerprint: it must be the same in every program from now on.
    #[test]
    fn the_fingerprint_is_fixed() {
        let filter = filter(&[("cluster", "a"), ("status", "rolled_back"), ("since", "2025-11-01T10:00:00Z")]);
        assert_eq!(filter.fingerprint(), [179, 142, 222, 41, 98, 30, 75, 149]);
        assert_eq!(filter.first_fingerprint(), [50, 63, 126, 9, 189, 234, 59, 119]);
    }
}
