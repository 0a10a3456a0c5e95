//! How the audits of one remediation request add up to one incident.
//!
//! Each fact of an incident is that of the latest audit that states it, and bears that audit's place: its time, then how
//! far its status has come, then its id, in one number. Kubernetes' times are whole seconds, so two steps of one instant
//! are the rule. The greatest place is the latest audit, and merging is the same in any order, any grouping and any
//! repetition. What this module does within one flush, `upsert_incidents.sql` does with the row that is there.

use super::bucket::Bucket;
use super::facts::{Fact, FactValue, STATED, stated};
use super::remediation::RemediationAudit;
use super::status::Status;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A value and the place of the audit that states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stated<T> {
    pub value: T,
    pub by: Uuid,
}

/// Status, duration, error, start and end go together: all of them from one audit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExecutionFacts<'a> {
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
    /// The latest of their own times.
    pub last_audit_at: DateTime<Utc>,
    /// In the order of the facts that audits state by themselves (`domain/facts.rs`).
    pub stated: [Option<Stated<FactValue<'a>>>; STATED],
    pub execution: Option<Stated<ExecutionFacts<'a>>>,
    /// The places of the audits that state a status, and whether it is final.
    pub statuses: Vec<(Uuid, bool)>,
    /// How many audits state an action and no status.
    pub lone_actions: usize,
}

impl<'a> IncidentFacts<'a> {
    /// What one audit states.
    pub fn of(audit: &'a RemediationAudit) -> Self {
        let by = audit.place();
        let mut facts = [None; STATED];
        for (held, fact) in facts.iter_mut().zip(stated()) {
            *held = fact.stated.and_then(|stated| stated(audit)).map(|value| Stated { value, by });
        }
        let execution = ExecutionFacts {
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
            last_audit_at: audit.created_at,
            stated: facts,
            execution: audit.status_stated.then_some(Stated { value: execution, by }),
            statuses: if audit.status_stated { vec![(by, audit.status.is_final())] } else { Vec::new() },
            lone_actions: (!audit.status_stated && audit.action_type.is_some()).into(),
        }
    }

    /// What these audits alone tell of attempts before the last one (`upsert_incidents.sql`): 2 where a status that is not final follows a
    /// final one, 1 where there are several that tell of attempts, so that they may go together with others in any way, else 0.
    pub fn attempts_due(&self) -> i16 {
        let mut statuses = self.statuses.clone();
        statuses.sort_unstable();
        match statuses.windows(2).any(|pair| pair[0].1 && !pair[1].1) {
            true => 2,
            false => (self.lone_actions + statuses.len() > 1).into(),
        }
    }

    /// Whether the two state a fact, and different values of it.
    pub fn contradicts(&self, other: &Self, fact: &Fact) -> bool {
        let place = stated().position(|stated| stated.column == fact.column);
        let value = |facts: &Self| place.and_then(|place| facts.stated[place]).map(|stated| stated.value);
        matches!((value(self), value(other)), (Some(one), Some(other)) if one != other)
    }

    /// Takes in what another audit of the same request states, which came later.
    pub fn merge(&mut self, later: Self) {
        self.received_at = self.received_at.max(later.received_at);
        self.last_audit_at = self.last_audit_at.max(later.last_audit_at);
        self.statuses.extend(later.statuses);
        self.lone_actions += later.lone_actions;
        for (held, later) in self.stated.iter_mut().zip(later.stated) {
            merge(held, later);
        }
        merge(&mut self.execution, later.execution);
    }
}

fn merge<T>(held: &mut Option<Stated<T>>, other: Option<Stated<T>>) {
    if let Some(other) = other
        && held.as_ref().is_none_or(|held| other.by > held.by)
    {
        *held = Some(other);
    }
}
