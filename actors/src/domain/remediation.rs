//! A remediation audit: what one controller did or decided for one remediation request.

use super::attributes::Attributes;
use super::audit::{Envelope, Receipt};
use super::content::ContentHasher;
use super::fields::Fields;
use super::invalid::Invalid;
use super::long_text::cut;
use super::severity::{self, Priority, Severity};
use super::status::{self, Status};
use super::time::to_micros;
use super::workload::workload;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// The named fields, in the order of the contract's table.
const NAMES: &[&str] = &[
    "remediationRequestID",
    "alertName",
    "namespace",
    "cluster",
    "priority",
    "severity",
    "actionType",
    "targetResource",
    "status",
    "confidence",
    "modelUsed",
    "alertFingerprint",
    "environment",
    "reasoning",
    "errorMessage",
    "duration",
    "durationMs",
    "createdAt",
    "executedAt",
];

/// What a row has in place of a name that an execution report leaves out. It states no fact.
pub const UNKNOWN: &str = "unknown";

#[derive(Debug, Clone)]
pub struct RemediationAudit {
    pub envelope: Envelope,
    pub remediation_request_id: String,
    pub alert_name: Option<String>,
    pub namespace: Option<String>,
    pub cluster: Option<String>,
    pub priority: Option<Priority>,
    /// The severity that the audit states. The severity that follows from the priority is not in this field.
    pub severity: Option<Severity>,
    pub action_type: Option<String>,
    pub target_resource: Option<String>,
    /// The workload of the target (`domain/workload.rs`).
    pub workload: Option<String>,
    /// The status, and whether the audit states it. A status that is only assumed is `pending`.
    pub status: Status,
    pub status_stated: bool,
    pub confidence: Option<f64>,
    pub model_used: Option<String>,
    pub alert_fingerprint: Option<String>,
    pub environment: Option<String>,
    pub reasoning: Option<String>,
    pub error_message: Option<String>,
    /// Milliseconds, cut like Go's `Milliseconds()`.
    pub duration_ms: Option<i64>,
    /// The audit's own time: `createdAt`, else `executedAt`, else the time of receipt.
    pub created_at: DateTime<Utc>,
    pub executed_at: Option<DateTime<Utc>>,
    pub attributes: Option<Attributes>,
    /// The columns whose text was cut.
    pub truncated: Vec<&'static str>,
}

impl RemediationAudit {
    /// Reads the body of `POST /api/v1/audit/remediation`. The first wrong field in the order of the table is
    /// reported. A time outside the window is no error here: it is noted in `envelope.stale`.
    pub fn parse(body: &[u8], receipt: &Receipt<'_>) -> Result<Self, Invalid> {
        let mut fields = Fields::parse(body, NAMES)?;
        // `executedAt` is read before its turn, because a body with `executedAt` may leave names out. A fault of
        // `executedAt` is still reported in its turn.
        let executed_at = fields.time("executedAt");
        let is_report = !matches!(executed_at, Ok(None));
        let name = |fields: &mut Fields, field| match fields.text(field, 255)? {
            None if !is_report => Err(Invalid::required(field)),
            name => Ok(name),
        };

        let remediation_request_id = fields.required_text("remediationRequestID", 255)?;
        let alert_name = name(&mut fields, "alertName")?;
        let namespace = name(&mut fields, "namespace")?;
        let cluster = name(&mut fields, "cluster")?;
        let priority = fields.word("priority", Priority::parse, "P0, P1, P2 or P3")?;
        let severity = fields.word("severity", Severity::parse, severity::WORDS)?;
        let action_type = fields.text("actionType", 255)?;
        let target_resource = fields.text("targetResource", 512)?;
        let status = fields.word("status", Status::parse, status::WORDS)?;
        let confidence = fields.share("confidence")?;
        let model_used = fields.text("modelUsed", 255)?;
        let alert_fingerprint = fields.text("alertFingerprint", 255)?;
        let environment = fields.text("environment", 255)?;
        let mut reasoning = fields.long_text("reasoning")?;
        let mut error_message = fields.long_text("errorMessage")?;
        let duration = fields.duration(false)?;
        let created_at = fields.time("createdAt")?;
        let executed_at = executed_at?;
        let attributes = fields.rest()?;

        let mut content = ContentHasher::new("/api/v1/audit/remediation");
        content
            .text("remediationRequestID", Some(&remediation_request_id))
            .text("alertName", alert_name.as_deref())
            .text("namespace", namespace.as_deref())
            .text("cluster", cluster.as_deref())
            .text("priority", priority.map(Priority::as_str))
            .text("severity", severity.map(Severity::as_str))
            .text("actionType", action_type.as_deref())
            .text("targetResource", target_resource.as_deref())
            .text("status", status.map(Status::as_str))
            .number("confidence", confidence)
            .text("modelUsed", model_used.as_deref())
            .text("alertFingerprint", alert_fingerprint.as_deref())
            .text("environment", environment.as_deref())
            .text("reasoning", reasoning.as_deref())
            .text("errorMessage", error_message.as_deref())
            .integer("duration", duration)
            .time("createdAt", created_at)
            .time("executedAt", executed_at)
            .text("attributes", attributes.as_ref().map(Attributes::as_str));

        let time = created_at.or(executed_at);
        let mut envelope = Envelope::new(receipt, content.finish(), &remediation_request_id, time);
        let check = |field, time: Option<DateTime<Utc>>| {
            time.map_or(Ok(()), |time| receipt.window.check(field, time, receipt.now))
        };
        envelope.stale = check("createdAt", created_at).and_then(|()| check("executedAt", executed_at)).err();

        // The whole makes the replay, but only a part of a long text is kept.
        let mut truncated = Vec::new();
        for (name, text) in [("reasoning", &mut reasoning), ("error_message", &mut error_message)] {
            if cut(text) {
                truncated.push(name);
            }
        }

        let by_outcome = executed_at.map(|_| match error_message {
            Some(_) => Status::Failed,
            None => Status::Completed,
        });
        let stated = status.or(by_outcome);
        Ok(RemediationAudit {
            created_at: to_micros(time.unwrap_or(envelope.received_at)),
            envelope,
            remediation_request_id,
            alert_name,
            namespace,
            cluster,
            priority,
            severity,
            action_type,
            workload: target_resource.as_deref().map(workload),
            target_resource,
            status: stated.unwrap_or(Status::Pending),
            status_stated: stated.is_some(),
            confidence,
            model_used,
            alert_fingerprint,
            environment,
            reasoning,
            error_message,
            duration_ms: duration.map(|nanos| nanos / 1_000_000),
            executed_at: executed_at.map(to_micros),
            attributes,
            truncated,
        })
    }

    /// The severity, if the audit says anything about it: its severity, or else the severity that its priority stands
    /// for.
    pub fn stated_severity(&self) -> Option<Severity> {
        self.severity.or(self.priority.map(Priority::severity))
    }

    /// The place of this audit among those of its incident: the greatest is the latest.
    pub fn place(&self) -> Uuid {
        self.envelope.id.place(if self.status_stated { self.status.progress() } else { 0 })
    }

    /// When the action ended, if the status is final and start and duration are known.
    pub fn end_time(&self) -> Option<DateTime<Utc>> {
        let duration = TimeDelta::try_milliseconds(self.duration_ms?)?;
        let start = self.executed_at.filter(|_| self.status.is_final())?;
        start.checked_add_signed(duration).filter(|end| end.timestamp() < LAST_SECOND)
    }

    /// The columns that the service filled in, as a list with commas; `None` if the audit stated all of them.
    pub fn assumed(&self) -> Option<String> {
        let assumed = [
            ("alert_name", self.alert_name.is_none()),
            ("namespace", self.namespace.is_none()),
            ("cluster", self.cluster.is_none()),
            ("status", !self.status_stated),
        ];
        let names: Vec<&str> = assumed.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

/// 9999-12-31T23:59:59Z: later instants have no RFC 3339 form.
const LAST_SECOND: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{TimeWindow, parse_rfc3339};

    const WINDOW: TimeWindow =
        TimeWindow { max_age: TimeDelta::days(400), max_ahead: TimeDelta::hours(1), retention_months: 0 };

    fn parse(body: &str) -> Result<RemediationAudit, Invalid> {
        let now = parse_rfc3339("2025-11-01T10:00:00Z").expect("a time");
        RemediationAudit::parse(
            body.as_bytes(),
            &Receipt { writer: "gateway".into(), key: None, trace_id: None, now, window: &WINDOW },
        )
    }

    const GATEWAY: &str =
        r#"{"remediationRequestID":"rr-1","alertName":"A","namespace":"n","cluster":"c","priority":"P0"}"#;

    #[test]
    fn the_first_wrong_field_of_the_table_is_named() {
        for (body, field) in [
            (r#"{}"#, "remediationRequestID"),
            (
                r#"{"severity":"urgent","cluster":1,"remediationRequestID":"r","alertName":"a","namespace":"n"}"#,
                "cluster",
            ),
            (r#"{"executedAt":"now","remediationRequestID":"r","confidence":2}"#, "confidence"),
            (r#"{"executedAt":"now","remediationRequestID":"r"}"#, "executedAt"),
        ] {
            assert_eq!(parse(body).map(|_| ()).map_err(|e| e.field), Err(Some(field.into())), "{body}");
        }
    }

    #[test]
    fn an_execution_report_states_its_outcome() {
        let report = |rest: &str| {
            parse(&format!(r#"{{"RemediationRequestID":"rr","ExecutedAt":"2025-11-01T09:59:00Z"{rest}}}"#))
                .expect("valid")
        };
        let failed = report(r#","ErrorMessage":"no","Duration":1999999"#);
        assert_eq!((failed.status, failed.status_stated, failed.duration_ms), (Status::Failed, true, Some(1)));
        assert_eq!(failed.assumed().as_deref(), Some("alert_name,namespace,cluster"));
        assert_eq!(report("").status, Status::Completed);
        let gateway = parse(GATEWAY).expect("valid");
        assert_eq!((gateway.status, gateway.status_stated), (Status::Pending, false));
    }

    #[test]
    fn the_same_content_has_the_same_id_however_it_is_written() {
        let id = |body: &str| parse(body).expect(body).envelope.id;
        let tagged = r#"{"remediationRequestID":"rr","alertName":"A","namespace":"n","cluster":"c","status":"success","createdAt":"2025-11-01T09:00:00Z","x":{"b":1,"a":2}}"#;
        let untagged = r#"{"x":{"a":2,"b":1},"CreatedAt":"2025-11-01T10:00:00+01:00","RemediationRequestID":"rr","Alert_Name":"A","Namespace":"n","Cluster":"c","Status":"Completed","Confidence":0,"ErrorMessage":"","ExecutedAt":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(id(tagged), id(untagged));
        assert_ne!(id(tagged), id(&tagged.replace("\"a\":2", "\"a\":3")));
        assert_ne!(id(tagged), id(&tagged.replace("09:00:00Z", "09:00:00.000000001Z")));
    }

    #[test]
    fn times_outside_the_window_wait_for_the_replay_check() {
        let old = GATEWAY.replace('}', r#","createdAt":"2020-01-01T00:00:00Z"}"#);
        assert_eq!(parse(&old).expect("parsed").envelope.stale.and_then(|e| e.field), Some("createdAt".into()));
    }
}
