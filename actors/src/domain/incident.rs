//! How the audits of one remediation request add up to one incident.
//!
//! Each fact of an incident is that of the latest audit that states it, and bears that audit's id. Ids sort by the
//! audits' own time first, so the greatest id is the latest audit, and merging is the same in any order, any grouping
//! and any repetition. What this module does within one flush, `upsert_incidents.sql` does with the row that is there.

use super::audit_id::AuditId;
use super::bucket::Bucket;
use super::remediation::RemediationAudit;
use super::severity::Severity;
use super::status::Status;
use chrono::{DateTime, Utc};

/// A fact and the audit that states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact<T> {
    pub value: T,
    pub by: AuditId,
}

/// Status, duration, error, start and end go together: all of them from one audit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome<'a> {
    pub status: Status,
    pub duration_ms: Option<i64>,
    pub error_message: Option<&'a str>,
    pub start_time: Option<DateTime<Utc>>,
    pub end_time: Option<DateTime<Utc>>,
}

/// What some audits of one remediation request state together.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentFacts<'a> {
    pub bucket: Bucket,
    pub remediation_request_id: &'a str,
    /// The server's clock when the last of them was received.
    pub received_at: DateTime<Utc>,
    pub alert_name: Option<Fact<&'a str>>,
    pub severity: Option<Fact<Severity>>,
    pub action_type: Option<Fact<&'a str>>,
    pub namespace: Option<Fact<&'a str>>,
    pub cluster: Option<Fact<&'a str>>,
    pub environment: Option<Fact<&'a str>>,
    pub alert_fingerprint: Option<Fact<&'a str>>,
    pub target_resource: Option<Fact<&'a str>>,
    pub model_used: Option<Fact<&'a str>>,
    pub confidence: Option<Fact<f64>>,
    pub outcome: Option<Fact<Outcome<'a>>>,
}

impl<'a> IncidentFacts<'a> {
    /// What one audit states.
    pub fn of(audit: &'a RemediationAudit) -> Self {
        let by = audit.envelope.id;
        let text = |value: &'a Option<String>| value.as_deref().map(|value| Fact { value, by });
        let outcome = Outcome {
            status: audit.status,
            duration_ms: audit.duration_ms,
            error_message: audit.error_message.as_deref(),
            start_time: audit.executed_at,
            end_time: audit.end_time(),
        };
        IncidentFacts {
            bucket: audit.envelope.bucket(),
            remediation_request_id: &audit.remediation_request_id,
            received_at: audit.envelope.received_at,
            alert_name: text(&audit.alert_name),
            severity: audit.stated_severity().map(|value| Fact { value, by }),
            action_type: text(&audit.action_type),
            namespace: text(&audit.namespace),
            cluster: text(&audit.cluster),
            environment: text(&audit.environment),
            alert_fingerprint: text(&audit.alert_fingerprint),
            target_resource: text(&audit.target_resource),
            model_used: text(&audit.model_used),
            confidence: audit.confidence.map(|value| Fact { value, by }),
            outcome: audit.status_stated.then_some(Fact { value: outcome, by }),
        }
    }

    /// Takes in what another audit of the same request states, which came later.
    pub fn merge(&mut self, later: Self) {
        self.received_at = self.received_at.max(later.received_at);
        merge(&mut self.alert_name, later.alert_name);
        merge(&mut self.severity, later.severity);
        merge(&mut self.action_type, later.action_type);
        merge(&mut self.namespace, later.namespace);
        merge(&mut self.cluster, later.cluster);
        merge(&mut self.environment, later.environment);
        merge(&mut self.alert_fingerprint, later.alert_fingerprint);
        merge(&mut self.target_resource, later.target_resource);
        merge(&mut self.model_used, later.model_used);
        merge(&mut self.confidence, later.confidence);
        merge(&mut self.outcome, later.outcome);
    }
}

fn merge<T>(held: &mut Option<Fact<T>>, other: Option<Fact<T>>) {
    if let Some(other) = other
        && held.as_ref().is_none_or(|held| other.by > held.by)
    {
        *held = Some(other);
    }
}
