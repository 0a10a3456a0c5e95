//! Audits and steps as readers get them in JSON.

use crate::domain::time::{serialize, serialize_option};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

/// JSON that PostgreSQL wrote.
pub(super) fn raw_json(text: Option<String>) -> Option<Box<RawValue>> {
    text.and_then(|text| RawValue::from_string(text).ok())
}

/// An audit as it was posted, under the names of the POST, with what the service added: `auditID`, `type`, `writer`,
/// `receivedAt`, and in `assumed` the fields that it filled in.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum AuditRecord {
    Remediation(Box<RemediationRecord>),
    Workflow(Box<WorkflowRecord>),
}

impl AuditRecord {
    pub(super) fn remediation(row: &Row) -> Self {
        AuditRecord::Remediation(Box::new(RemediationRecord::from_row(row)))
    }

    pub(super) fn workflow(row: &Row) -> Self {
        AuditRecord::Workflow(Box::new(WorkflowRecord::from_row(row)))
    }

    /// When the service received it, and its id: of two with the same time of their own the one that is less comes first.
    pub(super) fn received(&self) -> (DateTime<Utc>, &str) {
        match self {
            AuditRecord::Remediation(audit) => (audit.received_at, &audit.audit_id),
            AuditRecord::Workflow(audit) => (audit.received_at, &audit.audit_id),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemediationRecord {
    #[serde(rename = "auditID")]
    pub audit_id: String,
    #[serde(rename = "remediationRequestID")]
    pub remediation_request_id: String,
    pub alert_name: String,
    pub namespace: String,
    pub cluster: String,
    pub priority: Option<String>,
    pub severity: Option<String>,
    pub action_type: Option<String>,
    pub target_resource: Option<String>,
    pub status: String,
    pub confidence: Option<f64>,
    pub model_used: Option<String>,
    pub alert_fingerprint: Option<String>,
    pub environment: Option<String>,
    pub reasoning: Option<String>,
    pub error_message: Option<String>,
    pub duration_ms: Option<i64>,
    #[serde(serialize_with = "serialize")]
    pub created_at: DateTime<Utc>,
    #[serde(serialize_with = "serialize_option")]
    pub executed_at: Option<DateTime<Utc>>,
    pub attributes: Option<Box<RawValue>>,
    pub assumed: Vec<String>,
    /// The fields whose text was cut because it was long.
    pub truncated: Vec<String>,
    /// Of the request that brought it, where that was a part of a trace.
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    pub writer: String,
    #[serde(serialize_with = "serialize")]
    pub received_at: DateTime<Utc>,
}

/// The columns that [`RemediationRecord::from_row`] reads, of the table `a`.
pub(super) const REMEDIATION_COLUMNS: &str = "a.id, a.remediation_request_id, a.alert_name, a.namespace, a.cluster, \
    a.priority, a.severity, a.action_type, a.target_resource, a.status, a.confidence, a.model_used, a.alert_fingerprint, \
    a.environment, a.reasoning, a.error_message, a.duration_ms, a.created_at, a.executed_at, a.attributes::text, \
    a.assumed, a.truncated, a.trace_id, a.writer, a.received_at";

impl RemediationRecord {
    pub(super) fn from_row(row: &Row) -> Self {
        RemediationRecord {
            audit_id: row.get("id"),
            remediation_request_id: row.get("remediation_request_id"),
            alert_name: row.get("alert_name"),
            namespace: row.get("namespace"),
            cluster: row.get("cluster"),
            priority: row.get("priority"),
            severity: row.get("severity"),
            action_type: row.get("action_type"),
            target_resource: row.get("target_resource"),
            status: row.get("status"),
            confidence: row.get("confidence"),
            model_used: row.get("model_used"),
            alert_fingerprint: row.get("alert_fingerprint"),
            environment: row.get("environment"),
            reasoning: row.get("reasoning"),
            error_message: row.get("error_message"),
            duration_ms: row.get("duration_ms"),
            created_at: row.get("created_at"),
            executed_at: row.get("executed_at"),
            attributes: raw_json(row.get("attributes")),
            assumed: fields(row, "assumed"),
            truncated: fields(row, "truncated"),
            trace_id: row.get("trace_id"),
            writer: row.get("writer"),
            received_at: row.get("received_at"),
        }
    }
}

/// A list of columns, as the POST names them.
fn fields(row: &Row, list: &str) -> Vec<String> {
    let columns: Option<Vec<&str>> = row.get(list);
    columns.unwrap_or_default().into_iter().map(camel_case).collect()
}

/// A column's name as the POST has it.
fn camel_case(column: &str) -> String {
    let mut words = column.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        name.extend(word.chars().take(1).map(|c| c.to_ascii_uppercase()));
        name.extend(word.chars().skip(1));
    }
    name
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRecord {
    #[serde(rename = "auditID")]
    pub audit_id: String,
    #[serde(rename = "workflowID")]
    pub workflow_id: String,
    pub step_name: String,
    pub step_status: String,
    pub duration_ms: i64,
    pub error_message: Option<String>,
    #[serde(serialize_with = "serialize")]
    pub executed_at: DateTime<Utc>,
    #[serde(rename = "remediationRequestID")]
    pub remediation_request_id: Option<String>,
    pub attributes: Option<Box<RawValue>>,
    /// The fields whose text was cut because it was long.
    pub truncated: Vec<String>,
    /// Of the request that brought it, where that was a part of a trace.
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    pub writer: String,
    #[serde(serialize_with = "serialize")]
    pub received_at: DateTime<Utc>,
}

/// The columns that [`WorkflowRecord::from_row`] reads, of the table `a`.
pub(super) const WORKFLOW_COLUMNS: &str = "a.id, a.workflow_id, a.step_name, a.step_status, a.duration_ms, a.error_message, \
    a.executed_at, a.remediation_request_id, a.attributes::text, a.truncated, a.trace_id, a.writer, a.received_at";

impl WorkflowRecord {
    pub(super) fn from_row(row: &Row) -> Self {
        WorkflowRecord {
            audit_id: row.get("id"),
            workflow_id: row.get("workflow_id"),
            step_name: row.get("step_name"),
            step_status: row.get("step_status"),
            duration_ms: row.get("duration_ms"),
            error_message: row.get("error_message"),
            executed_at: row.get("executed_at"),
            remediation_request_id: row.get("remediation_request_id"),
            attributes: raw_json(row.get("attributes")),
            truncated: fields(row, "truncated"),
            trace_id: row.get("trace_id"),
            writer: row.get("writer"),
            received_at: row.get("received_at"),
        }
    }
}
