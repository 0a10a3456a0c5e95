//! What an audit says that a row of the Go service's tables becomes.

use super::dump::Row;
use chrono::{DateTime, Datelike, SecondsFormat};
use data_storage_actors::domain::severity::Severity;
use data_storage_actors::domain::status::Status;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A table that is imported, or that tells what the rows of another are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    ActionTraces,
    AuditEvents,
    ActionHistories,
    ResourceReferences,
}

impl Table {
    /// By its name, or that of one of its partitions.
    pub fn of(name: &str) -> Option<Self> {
        let is = |table: &str| {
            let partition = name.strip_prefix(table)?;
            let is_partition = partition.strip_prefix('_').is_some_and(|part| {
                part == "default" || part.trim_start_matches(['y', 'p']).starts_with(|c: char| c.is_ascii_digit())
            });
            (partition.is_empty() || is_partition).then_some(())
        };
        [
            ("resource_action_traces", Table::ActionTraces),
            ("audit_events", Table::AuditEvents),
            ("action_histories", Table::ActionHistories),
            ("resource_references", Table::ResourceReferences),
        ]
        .into_iter()
        .find_map(|(table, kind)| is(table).map(|()| kind))
    }
}

/// What the rows of a dump say of each other.
#[derive(Default)]
pub struct Known {
    /// What an action history is of, by its id.
    histories: HashMap<String, String>,
    /// A resource's namespace and its kind and name, by its id.
    resources: HashMap<String, (Option<String>, String)>,
    /// What the events of a request are about, by its correlation id.
    signals: HashMap<String, Signal>,
    /// Whether a request has several action traces, by its correlation id.
    has_several: HashMap<String, bool>,
    /// The cluster of rows that name none.
    cluster: String,
}

#[derive(Default)]
struct Signal {
    name: Option<String>,
    namespace: Option<String>,
    cluster: Option<String>,
}

impl Known {
    /// Nothing yet, but the cluster of rows that name none.
    pub fn new(cluster: String) -> Self {
        Known { cluster, ..Known::default() }
    }

    /// Takes note of a row, before any is imported.
    pub fn learn(&mut self, table: Table, row: &Row) {
        let own = |column: &str| row.get(column).map(str::to_owned);
        match table {
            Table::ActionTraces => {
                let Some(request) = own("correlation_id") else { return };
                let signal = self.signals.entry(request.clone()).or_default();
                signal.name = signal.name.take().or(own("signal_name")).or(own("alert_name"));
                signal.cluster = signal.cluster.take().or(own("cluster_name"));
                self.has_several.entry(request).and_modify(|several| *several = true).or_insert(false);
            }
            Table::ActionHistories => {
                _ = own("id").zip(own("resource_id")).map(|(id, of)| self.histories.insert(id, of))
            }
            Table::ResourceReferences => {
                if let (Some(id), Some(kind), Some(name)) = (own("id"), row.get("kind"), row.get("name")) {
                    self.resources.insert(id, (own("namespace"), format!("{}/{name}", kind.to_lowercase())));
                }
            }
            Table::AuditEvents => {
                if !is_of_remediation(row.get("event_type").unwrap_or_default()) {
                    return;
                }
                let Some(request) = own("correlation_id") else { return };
                let data = json_of(row.get("event_data"));
                let signal = self.signals.entry(request).or_default();
                let found = Signal {
                    name: member(&data, &["signal_name", "alert_name"]),
                    namespace: member(&data, &["namespace"]).or(own("namespace")),
                    cluster: own("cluster_id").or(own("cluster_name")),
                };
                // Only the gateway's events have the namespace of what the signal is about.
                let is_first = found.name.is_some() && signal.name.is_none();
                if is_first {
                    signal.name = found.name;
                }
                if is_first || signal.namespace.is_none() {
                    signal.namespace = found.namespace.or(signal.namespace.take());
                }
                signal.cluster = signal.cluster.take().or(found.cluster);
            }
        }
    }

    /// The audits of a row in their order; none where the row is not of a remediation.
    pub fn audits(&self, table: Table, row: &Row) -> Result<Vec<Audit>, String> {
        match table {
            Table::ActionTraces => {
                let audit = self.trace(row)?;
                // Each trace is an attempt, and an attempt begins with a status that is not final.
                let request = row.get("correlation_id").unwrap_or_default();
                let begin = self.has_several.get(request).filter(|several| **several).and_then(|_| audit.begun());
                Ok(begin.into_iter().chain([audit]).collect())
            }
            Table::AuditEvents if is_of_remediation(row.get("event_type").unwrap_or_default()) => {
                Ok(vec![self.event(row)?])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn trace(&self, row: &Row) -> Result<Audit, String> {
        let labels = json_of(row.get("signal_labels").or(row.get("alert_labels")));
        let resource = row.get("action_history_id").and_then(|id| self.resources.get(self.histories.get(id)?));
        let (namespace, target) = resource.map(|(namespace, target)| (namespace.clone(), target.clone())).unzip();
        let mut audit = Making::new(row, &["action_timestamp", "correlation_id", "action_id", "embedding"]);
        audit.set("remediationRequestID", row.get("correlation_id").or(row.get("action_id")));
        audit.take("alertName", &["signal_name", "alert_name", "incident_type"]);
        let is_severity = |word: &str| Severity::parse(word).is_some();
        audit.take_if("severity", &["signal_severity", "alert_severity", "incident_severity"], is_severity);
        audit.take("namespace", &["namespace"]);
        audit.set("namespace", namespace.flatten());
        audit.set("namespace", member(&labels, &["namespace"]));
        audit.take("cluster", &["cluster_name", "cluster_id"]);
        audit.set("cluster", member(&labels, &["cluster"]));
        audit.take("environment", &["environment"]);
        audit.set("environment", member(&labels, &["environment", "env"]));
        audit.take("alertFingerprint", &["alert_fingerprint", "signal_fingerprint"]);
        audit.take("targetResource", &["target_resource"]);
        audit.set("targetResource", target);
        audit.take("actionType", &["action_type"]);
        audit.take("modelUsed", &["model_used"]);
        audit.take("reasoning", &["model_reasoning"]);
        audit.take("errorMessage", &["execution_error"]);
        audit.take_number("confidence", "model_confidence", is_share);
        audit.take_number("durationMs", "execution_duration_ms", is_duration);
        audit.take_if("status", &["execution_status"], |word| Status::parse(word).is_some());
        let began = time(row.get("action_timestamp").ok_or("it has no action_timestamp")?)?;
        let status = audit.fields.get("status").and_then(Value::as_str).and_then(Status::parse);
        let started = row.get("execution_start_time").and_then(|text| time(text).ok());
        // What waits has not begun, whatever it is to begin at.
        let began_at = started.or_else(|| status.filter(|status| *status != Status::Pending).map(|_| began.clone()));
        if status.is_some() {
            audit.set("executedAt", began_at);
        }
        // What is under way may be imported again when it has ended.
        let state = status.filter(|status| !status.is_final()).map(|status| format!("#{}", status.as_str()));
        let id = row.get("action_id").or(row.get("id")).unwrap_or_default();
        let source = format!("resource_action_traces/{id}@{began}{}", state.unwrap_or_default());
        audit.set("createdAt", Some(began));
        Ok(audit.end(source, &self.cluster))
    }

    fn event(&self, row: &Row) -> Result<Audit, String> {
        let kind = row.get("event_type").unwrap_or_default();
        let request = row.get("correlation_id");
        let signal = request.and_then(|request| self.signals.get(request));
        let data = json_of(row.get("event_data"));
        let mut audit = Making::new(row, &["event_timestamp", "event_date", "correlation_id"]);
        audit.set("remediationRequestID", request);
        audit.set("alertName", signal.and_then(|signal| signal.name.clone()));
        audit.set("namespace", signal.and_then(|signal| signal.namespace.clone()));
        audit.take("namespace", &["namespace"]);
        audit.set("cluster", signal.and_then(|signal| signal.cluster.clone()));
        audit.take("cluster", &["cluster_id", "cluster_name"]);
        // The column is how grave the event is, not the alert.
        audit.set("severity", member(&data, &["severity"]).filter(|word| Severity::parse(word).is_some()));
        audit.set("actionType", member(&data, &["action_type"]));
        audit.set("targetResource", member(&data, &["target_resource"]));
        let resource = member(&data, &["resource_kind"]).zip(member(&data, &["resource_name"]));
        audit.set("targetResource", resource.map(|(kind, name)| format!("{}/{name}", kind.to_lowercase())));
        audit.set("alertFingerprint", member(&data, &["fingerprint", "signal_fingerprint"]));
        audit.set("reasoning", member(&data, &["reasoning", "rationale", "rca_summary"]));
        audit.set("reasoning", member(&data["provider_response_summary"], &["analysis_preview"]));
        audit.set("reasoning", member(&data["response_data"], &["analysis"]));
        audit.take("errorMessage", &["error_message"]);
        audit.set("errorMessage", member(&data, &["failure_message"]));
        audit.set("errorMessage", member(&data["error_details"], &["message"]));
        audit.set("errorMessage", member(&data, &["failure_reason"]));
        if let Some(confidence) = data.get("confidence").filter(|number| is_share(number)) {
            audit.fields.insert("confidence".into(), confidence.clone());
        }
        audit.take_number("durationMs", "duration_ms", is_duration);
        audit.set("status", status_of(kind, row.get("event_action"), row.get("event_outcome"), &data));
        audit.set("createdAt", Some(time(row.get("event_timestamp").ok_or("it has no event_timestamp")?)?));
        Ok(audit.end(format!("audit_events/{}", row.get("event_id").unwrap_or_default()), &self.cluster))
    }
}

/// Parts of the cluster that tell of remediations, as the first word of their events' types.
fn is_of_remediation(kind: &str) -> bool {
    let (part, rest) = kind.split_once('.').unwrap_or((kind, ""));
    let parts = [
        "gateway",
        "signalprocessing",
        "aianalysis",
        "aiagent",
        "holmesgpt",
        "orchestrator",
        "remediation",
        "workflowexecution",
        "workflow",
        "webhook",
        "effectiveness",
    ];
    // Of the parts themselves, of messages about a remediation, and of signals that became none.
    let others = ["auth.", "catalog.", "config.", "ratelimit.", "session.", "notification.", "crd.failed"];
    parts.contains(&part) && !others.iter().any(|of| rest.starts_with(of))
}

/// The status that an event gives to its request. An event that only says how one part got on gives none.
fn status_of(kind: &str, action: Option<&str>, outcome: Option<&str>, data: &Value) -> Option<&'static str> {
    let is = |member: &str, words: &[&str]| {
        data[member].as_str().is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text)))
    };
    match kind {
        "workflowexecution.workflow.started" | "workflowexecution.execution.started" => Some("in_progress"),
        "workflowexecution.workflow.completed" => Some("completed"),
        "workflowexecution.workflow.failed" | "orchestrator.lifecycle.failed" => Some("failed"),
        "orchestrator.approval.rejected" => Some("cancelled"),
        // The orchestrator writes so when it tidies up, long after the end.
        "orchestrator.lifecycle.completed" if action == Some("retention_cleanup") => None,
        "orchestrator.lifecycle.completed" if outcome == Some("failure") || is("outcome", &["failed"]) => {
            Some("failed")
        }
        "orchestrator.lifecycle.completed" if is("crd_outcome", &["ManualReviewRequired", "Inconclusive"]) => None,
        "orchestrator.lifecycle.completed" => Some("completed"),
        _ => None,
    }
}

/// What the API takes as a confidence.
fn is_share(number: &Value) -> bool {
    number.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))
}

/// What the API takes as milliseconds.
fn is_duration(number: &Value) -> bool {
    number.as_i64().is_some_and(|millis| (0..=i64::MAX / 1_000_000).contains(&millis))
}

/// An audit, ready to be posted.
pub struct Audit {
    fields: Map<String, Value>,
    /// Attributes as JSON, whose numbers keep all their digits.
    raw: Vec<(String, String)>,
    /// The row that it was made of.
    source: String,
}

impl Audit {
    pub fn request(&self) -> &str {
        self.fields["remediationRequestID"].as_str().unwrap_or_default()
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn body(&self) -> String {
        let mut body = Value::Object(self.fields.clone()).to_string();
        body.pop();
        for (name, json) in &self.raw {
            body += &format!(",{}:{json}", Value::from(name.as_str()));
        }
        body + &format!(",\"importedFrom\":{}}}", Value::from(self.source.as_str()))
    }

    /// Of an attempt that has ended, its beginning.
    fn begun(&self) -> Option<Audit> {
        Status::parse(self.fields.get("status")?.as_str()?).filter(|status| status.is_final())?;
        let mut fields = self.fields.clone();
        for of_the_end in ["executedAt", "durationMs", "errorMessage"] {
            fields.remove(of_the_end);
        }
        fields.insert("status".into(), "in_progress".into());
        Some(Audit { fields, raw: self.raw.clone(), source: format!("{}#begin", self.source) })
    }
}

/// An audit that is being made of a row: what no field takes becomes an attribute.
struct Making<'r> {
    row: &'r Row,
    fields: Map<String, Value>,
    /// Columns that are no attributes.
    taken: Vec<&'static str>,
}

impl<'r> Making<'r> {
    fn new(row: &'r Row, taken: &[&'static str]) -> Self {
        Making { row, fields: Map::new(), taken: taken.to_vec() }
    }

    /// Sets a field that has no value yet, where one is known.
    fn set(&mut self, field: &str, value: Option<impl Into<String>>) {
        let value = value.map(Into::into).filter(|value: &String| !value.is_empty() && fits(field, value));
        if let (Some(value), false) = (value, self.fields.contains_key(field)) {
            self.fields.insert(field.to_owned(), value.into());
        }
    }

    /// As [`set`](Self::set), from the first of these columns that has a value.
    fn take(&mut self, field: &str, columns: &[&'static str]) {
        self.take_if(field, columns, |_| true);
    }

    /// As [`take`](Self::take), if it is what is meant.
    fn take_if(&mut self, field: &str, columns: &[&'static str], is_meant: impl Fn(&str) -> bool) {
        let is_free = !self.fields.contains_key(field);
        let mut found = columns.iter().filter_map(|column| Some((*column, self.row.get(column)?)));
        if let (true, Some((column, value))) = (is_free, found.find(|(_, value)| is_meant(value) && fits(field, value)))
        {
            self.fields.insert(field.to_owned(), value.into());
            self.taken.push(column);
        }
    }

    fn take_number(&mut self, field: &str, column: &'static str, is_meant: fn(&Value) -> bool) {
        if let Some(number) = self.row.get(column).map(|value| json_of(Some(value))).filter(is_meant) {
            self.fields.insert(field.to_owned(), number);
            self.taken.push(column);
        }
    }

    /// The audit, with the rest of the row as attributes. Their names begin in a way in which no field of the API does.
    fn end(mut self, source: String, cluster: &str) -> Audit {
        self.set("remediationRequestID", Some(source.as_str()));
        self.set("alertName", Some("unknown"));
        self.set("namespace", Some("unknown"));
        self.set("cluster", Some(cluster));
        let rest = self.row.iter().filter(|(column, _)| !self.taken.contains(column));
        let raw = rest.map(|(column, value)| {
            let json = if is_json(value) { value.to_owned() } else { Value::from(value).to_string() };
            (format!("go_{column}"), json)
        });
        Audit { raw: raw.collect(), fields: self.fields, source }
    }
}

/// Whether a text is an object or an array that the API takes as such.
fn is_json(text: &str) -> bool {
    const DEEPEST: usize = 60;
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = depth.max(deepest);
    }
    text.starts_with(['{', '['])
        && deepest <= DEEPEST
        && !text.contains("\\u0000")
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether the API takes a value of this length; one that is longer stays among the attributes.
fn fits(field: &str, value: &str) -> bool {
    match field {
        "reasoning" | "errorMessage" => true,
        "targetResource" => value.chars().count() <= 512,
        _ => value.chars().count() <= 255,
    }
}

/// PostgreSQL's time as RFC 3339. Times before 2000 are none: Go writes its zero so.
fn time(text: &str) -> Result<String, String> {
    let text =
        if text.contains(['+', 'Z']) || text.rfind('-') > Some(10) { text.to_owned() } else { format!("{text}+00") };
    let time = DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z");
    let time = time.ok().map(|time| time.to_utc()).filter(|time| time.year() >= 2000);
    Ok(time.ok_or_else(|| format!("{text} is no time"))?.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn json_of(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The first of these members that is a text with something in it.
fn member(data: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| data[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn partitions_are_their_tables() {
        for name in [
            "audit_events",
            "audit_events_default",
            "audit_events_2026_03",
            "audit_events_y2026m03",
            "audit_events_p2026_03_01",
        ] {
            assert_eq!(Table::of(name), Some(Table::AuditEvents), "{name}");
        }
        assert_eq!(Table::of("audit_events_archive"), None);
        assert_eq!(Table::of("resource_action_traces_y2025m10"), Some(Table::ActionTraces));
    }

    #[test]
    fn times_have_any_offset() {
        for (text, utc) in [
            ("2025-11-01 10:00:00+00", "2025-11-01T10:00:00.000000Z"),
            ("2025-11-01 10:00:00.25-07", "2025-11-01T17:00:00.250000Z"),
            ("2025-11-01 10:00:00+05:30", "2025-11-01T04:30:00.000000Z"),
            ("2025-11-01 10:00:00", "2025-11-01T10:00:00.000000Z"),
        ] {
            assert_eq!(time(text).as_deref(), Ok(utc));
        }
        for text in ["infinity", "0001-01-01 00:00:00+00", "0001-12-31 19:03:58-04:56:02 BC"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_ends_a_remediation_says_how_it_ended() {
        let none = Value::Null;
        assert_eq!(status_of("gateway.signal.received", None, Some("success"), &none), None);
        let completed = "orchestrator.lifecycle.completed";
        assert_eq!(status_of(completed, Some("completed"), Some("success"), &none), Some("completed"));
        assert_eq!(status_of(completed, Some("completed"), Some("failure"), &none), Some("failed"));
        assert_eq!(status_of(completed, None, None, &json!({"outcome": "Failed"})), Some("failed"));
        assert_eq!(status_of(completed, Some("retention_cleanup"), Some("success"), &none), None);
        assert_eq!(status_of(completed, None, Some("success"), &json!({"crd_outcome": "Inconclusive"})), None);
        assert!(is_of_remediation("aianalysis.analysis.completed") && is_of_remediation("aiagent.rca.complete"));
        for other in [
            "aiagent.auth.failure",
            "datastorage.ratelimit.denied",
            "workflow.catalog.search_completed",
            "webhook.notification.cancelled",
            "gateway.crd.failed",
            "gatewayish.x",
        ] {
            assert!(!is_of_remediation(other), "{other}");
        }
    }

    #[test]
    fn json_is_passed_on_where_the_api_takes_it() {
        assert!(is_json("{\"a\": [12345678901234567890123, 1.10]}") && is_json("[]"));
        let deep = "[".repeat(61) + &"]".repeat(61);
        for text in ["5", "text", "{", "{\"a\": \"\\u0000\"}", &deep] {
            assert!(!is_json(text), "{text}");
        }
        assert!(is_json(&("[\"".to_owned() + &"[".repeat(100) + "\"]")));
    }
}
