//! Which incidents a reader asks for.

use super::invalid::{Invalid, Reason};
use super::severity::{self, Severity};
use super::status::{self, Status};
use super::time::parse_rfc3339;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// The filters of the incident list; all that are given must fit. `since` is inclusive, `until` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IncidentFilter {
    pub alert_name: Option<String>,
    pub severity: Option<Severity>,
    pub action_type: Option<String>,
    pub namespace: Option<String>,
    pub cluster: Option<String>,
    pub status: Option<Status>,
    pub remediation_request_id: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// The names of the filters, in the contract's order.
pub const FILTERS: &[&str] = &[
    "alert_name",
    "severity",
    "action_type",
    "namespace",
    "cluster",
    "status",
    "remediation_request_id",
    "since",
    "until",
];

impl IncidentFilter {
    /// Sets the filter of this name from its text. `name` is one of [`FILTERS`].
    pub fn set(&mut self, name: &'static str, value: &str) -> Result<(), Invalid> {
        match name {
            "alert_name" => self.alert_name = Some(text(name, value)?),
            "severity" => self.severity = Some(word(name, Severity::parse_strict(value), severity::WORDS)?),
            "action_type" => self.action_type = Some(text(name, value)?),
            "namespace" => self.namespace = Some(text(name, value)?),
            "cluster" => self.cluster = Some(text(name, value)?),
            "status" => self.status = Some(word(name, Status::parse(value), status::WORDS)?),
            "remediation_request_id" => self.remediation_request_id = Some(text(name, value)?),
            "since" => self.since = Some(time(name, value)?),
            "until" => self.until = Some(time(name, value)?),
            other => return Err(Invalid::unnamed(other, "is not a filter")),
        }
        Ok(())
    }

    /// The columns that must have a value, and these values.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("alert_name", self.alert_name.as_deref()),
            ("alert_severity", self.severity.map(|severity| severity.as_str())),
            ("action_type", self.action_type.as_deref()),
            ("namespace", self.namespace.as_deref()),
            ("cluster_name", self.cluster.as_deref()),
            ("execution_status", self.status.map(|status| status.as_str())),
        ]
        .into_iter()
        .filter_map(|(column, value)| Some((column, value?)))
    }

    /// Each part of it that the vector store has an index for, by itself.
    pub fn indexed(&self) -> Vec<IncidentFilter> {
        let none = IncidentFilter::default;
        let parts = [
            IncidentFilter { alert_name: self.alert_name.clone(), ..none() },
            IncidentFilter { action_type: self.action_type.clone(), ..none() },
            IncidentFilter { namespace: self.namespace.clone(), ..none() },
            IncidentFilter { cluster: self.cluster.clone(), ..none() },
            IncidentFilter { remediation_request_id: self.remediation_request_id.clone(), ..none() },
            IncidentFilter { since: self.since, until: self.until, ..none() },
        ];
        parts.into_iter().filter(|part| *part != none()).collect()
    }

    /// The filters among the parameters of a query, by their names.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn from_query<'a>(get: impl Fn(&str) -> Result<Option<&'a str>, Invalid>) -> Result<Self, Invalid> {
        let mut filter = IncidentFilter::default();
        for name in FILTERS {
            if let Some(value) = get(name)? {
                filter.set(name, value)?;
            }
        }
        Ok(filter)
    }

    /// Eight bytes that tell one set of filters from another.
    pub fn fingerprint(&self) -> [u8; 8] {
        let digest = Sha256::digest(format!("{self:?}").as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        head
    }
}

fn text(name: &'static str, value: &str) -> Result<String, Invalid> {
    if value.contains('\0') {
        return Err(Invalid::wrong(name, "must not contain a NUL character"));
    }
    if value.chars().count() > 255 {
        return Err(Invalid::named(name, Reason::TooLong, "is longer than 255 characters"));
    }
    Ok(value.to_owned())
}

fn word<T>(name: &'static str, parsed: Option<T>, words: &str) -> Result<T, Invalid> {
    parsed.ok_or_else(|| Invalid::named(name, Reason::UnknownWord, format_args!("must be {words}")))
}

fn time(name: &'static str, value: &str) -> Result<DateTime<Utc>, Invalid> {
    // A `+` that was not escaped in the query has become a space.
    parse_rfc3339(&value.replace(' ', "+"))
        .ok_or_else(|| Invalid::wrong(name, "must be an RFC 3339 time, like 2025-11-01T10:00:00Z"))
}
