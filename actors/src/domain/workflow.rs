//! A workflow audit: one step of one workflow.

use super::attributes::Attributes;
use super::audit::{Envelope, Receipt};
use super::content::ContentHasher;
use super::fields::Fields;
use super::invalid::Invalid;
use super::long_text::cut;
use super::status::{self, Status};
use super::time::to_micros;
use chrono::{DateTime, Utc};

/// The named fields, in the order of the contract.
const NAMES: &[&str] = &[
    "workflowID",
    "stepName",
    "stepStatus",
    "duration",
    "durationMs",
    "errorMessage",
    "executedAt",
    "remediationRequestID",
];

#[derive(Debug, Clone)]
pub struct WorkflowAudit {
    pub envelope: Envelope,
    pub workflow_id: String,
    pub step_name: String,
    pub step_status: Status,
    /// Milliseconds; 0 if the body has no duration.
    pub duration_ms: i64,
    pub error_message: Option<String>,
    /// `executedAt`, else the time of receipt.
    pub executed_at: DateTime<Utc>,
    /// If given, ties the whole workflow to the incident of this request.
    pub remediation_request_id: Option<String>,
    pub attributes: Option<Attributes>,
    /// The columns whose text was cut.
    pub truncated: Vec<&'static str>,
}

impl WorkflowAudit {
    /// Reads the body of `POST /api/v1/audit/workflow`. Faults are reported as for a remediation audit.
    pub fn parse(body: &[u8], receipt: &Receipt<'_>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body, NAMES)?;
        let workflow_id = fields.required_text("workflowID", 255)?;
        let step_name = fields.required_text("stepName", 255)?;
        let step_status =
            fields.word("stepStatus", Status::parse, status::WORDS)?.ok_or_else(|| Invalid::required("stepStatus"))?;
        let duration = fields.duration(true)?;
        let mut error_message = fields.long_text("errorMessage")?;
        let executed_at = fields.time("executedAt")?;
        let remediation_request_id = fields.text("remediationRequestID", 255)?;
        let attributes = fields.rest()?;

        let mut content = ContentHasher::new("/api/v1/audit/workflow");
        content
            .text("workflowID", Some(&workflow_id))
            .text("stepName", Some(&step_name))
            .text("stepStatus", Some(step_status.as_str()))
            .integer("duration", duration)
            .text("errorMessage", error_message.as_deref())
            .time("executedAt", executed_at)
            .text("remediationRequestID", remediation_request_id.as_deref())
            .text("attributes", attributes.as_ref().map(Attributes::as_str));
        let mut envelope = Envelope::new(receipt, content.finish(), &workflow_id, executed_at);
        envelope.stale = executed_at.and_then(|time| receipt.window.check("executedAt", time, receipt.now).err());
        Ok(WorkflowAudit {
            executed_at: to_micros(executed_at.unwrap_or(envelope.received_at)),
            envelope,
            workflow_id,
            step_name,
            step_status,
            duration_ms: duration.unwrap_or(0) / 1_000_000,
            truncated: if cut(&mut error_message) { vec!["error_message"] } else { Vec::new() },
            error_message,
            remediation_request_id,
            attributes,
        })
    }
}
