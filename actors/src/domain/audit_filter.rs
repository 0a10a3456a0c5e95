//! Which audits, and which workflows, a reader asks for.

use super::filter::{TimeBound, text};
use super::invalid::{Invalid, Reason};
use super::parameters::Parameters;
use super::walk::question;
use chrono::{DateTime, Utc};

/// All that are given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// `None`: both.
    pub kind: Option<AuditKind>,
    /// The full name of a user.
    pub writer: Option<String>,
    pub remediation_request_id: Option<String>,
    /// Workflow audits have neither.
    pub namespace: Option<String>,
    pub cluster: Option<String>,
    /// Of the audits' own time; half-open.
    pub since: Option<TimeBound>,
    pub until: Option<TimeBound>,
    /// Of the time of receipt; half-open.
    pub received_since: Option<TimeBound>,
    pub received_until: Option<TimeBound>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditKind {
    Remediation,
    Workflow,
}

impl AuditFilter {
    /// The names of its parameters, in the contract's order.
    pub const NAMES: [&str; 9] = [
        "type",
        "writer",
        "remediation_request_id",
        "namespace",
        "cluster",
        "since",
        "until",
        "received_since",
        "received_until",
    ];

    /// # Errors
    /// The first wrong parameter.
    pub fn from_query(query: &Parameters, now: DateTime<Utc>) -> Result<Self, Invalid> {
        let kind = match query.get("type")? {
            None => None,
            Some("remediation") => Some(AuditKind::Remediation),
            Some("workflow") => Some(AuditKind::Workflow),
            Some(_) => return Err(Invalid::named("type", Reason::UnknownWord, "must be remediation or workflow")),
        };
        Ok(AuditFilter {
            kind,
            writer: name(query, "writer", 1024)?,
            remediation_request_id: name(query, "remediation_request_id", 255)?,
            namespace: name(query, "namespace", 255)?,
            cluster: name(query, "cluster", 255)?,
            since: TimeBound::from_query(query, "since", now)?,
            until: TimeBound::from_query(query, "until", now)?,
            received_since: TimeBound::from_query(query, "received_since", now)?,
            received_until: TimeBound::from_query(query, "received_until", now)?,
        })
    }

    /// Eight bytes that tell one filter from another.
    pub fn fingerprint(&self) -> [u8; 8] {
        let kind = self.kind.map(|kind| match kind {
            AuditKind::Remediation => "remediation".to_owned(),
            AuditKind::Workflow => "workflow".to_owned(),
        });
        let times = [self.since, self.until, self.received_since, self.received_until];
        let texts = [
            kind,
            self.writer.clone(),
            self.remediation_request_id.clone(),
            self.namespace.clone(),
            self.cluster.clone(),
        ];
        fingerprint("audits", texts, times)
    }
}

/// All that are given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowFilter {
    pub remediation_request_id: Option<String>,
    /// Of the last step; half-open.
    pub since: Option<TimeBound>,
    pub until: Option<TimeBound>,
}

impl WorkflowFilter {
    /// The names of its parameters, in the contract's order.
    pub const NAMES: [&str; 3] = ["remediation_request_id", "since", "until"];

    /// # Errors
    /// The first wrong parameter.
    pub fn from_query(query: &Parameters, now: DateTime<Utc>) -> Result<Self, Invalid> {
        Ok(WorkflowFilter {
            remediation_request_id: name(query, "remediation_request_id", 255)?,
            since: TimeBound::from_query(query, "since", now)?,
            until: TimeBound::from_query(query, "until", now)?,
        })
    }

    /// Eight bytes that tell one filter from another.
    pub fn fingerprint(&self) -> [u8; 8] {
        fingerprint("workflows", [self.remediation_request_id.clone()], [self.since, self.until])
    }
}

fn name(query: &Parameters, name: &'static str, longest: usize) -> Result<Option<String>, Invalid> {
    query.get(name)?.map(|value| text(name, value, longest)).transpose()
}

/// Of texts and times in a fixed order; one that is not there differs from every one that is.
fn fingerprint(
    of: &str,
    texts: impl IntoIterator<Item = Option<String>>,
    times: impl IntoIterator<Item = Option<TimeBound>>,
) -> [u8; 8] {
    let times = times.into_iter().map(|time| time.map(TimeBound::fixed));
    let parts: Vec<String> =
        texts.into_iter().chain(times).map(|part| part.map_or_else(String::new, |part| format!("={part}"))).collect();
    let parts: Vec<&str> = [of].into_iter().chain(parts.iter().map(String::as_str)).collect();
    question([0; 8], &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp(1_764_000_000, 0).unwrap();

    fn parse(query: &str) -> Result<AuditFilter, Invalid> {
        AuditFilter::from_query(&Parameters::parse(query, &AuditFilter::NAMES), NOW)
    }

    #[test]
    fn each_is_read_and_the_first_wrong_one_is_named() {
        let filter =
            parse("type=workflow&writer=w&since=24h&received_until=2025-11-01T00:00:00%2B01:00").expect("valid");
        assert!(filter.kind == Some(AuditKind::Workflow) && filter.writer.as_deref() == Some("w"));
        assert!(filter.since.is_some() && filter.received_until.is_some());
        for (query, field) in [
            ("type=audit&since=x", "type"),
            ("writer=", "writer"),
            ("writer=a&writer=b", "writer"),
            ("namespace=a%00b", "namespace"),
            ("since=x&until=y", "since"),
            ("received_since=-1h", "received_since"),
        ] {
            assert_eq!(parse(query).map_err(|e| e.field), Err(Some(field.into())), "{query}");
        }
    }

    #[test]
    fn fingerprints_tell_filters_apart() {
        let mut seen = std::collections::HashSet::new();
        for query in
            ["", "type=workflow", "writer=a", "namespace=a", "cluster=a", "since=1h", "until=1h", "received_since=1h"]
        {
            assert!(seen.insert(parse(query).expect(query).fingerprint()), "{query}");
        }
        assert!(seen.insert(WorkflowFilter::default().fingerprint()));
    }
}
