//! What an audit says that a row of the Go service's tables becomes.

use super::dump::Row;
use chrono::{DateTime, SecondsFormat};
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
    pub fn audits(&self, table: Table, row: &Row) -> Result<Vec<Value>, String> {
        match table {
            Table::ActionTraces => {
                let audit = self.trace(row)?;
                // Each trace is an attempt, and an attempt begins with a status that is not final.
                let request = row.get("correlation_id").unwrap_or_default();
                let begin = self.has_several.get(request).filter(|several| **several).and_then(|_| begun(&audit));
                Ok(begin.into_iter().chain([audit]).collect())
            }
            Table::AuditEvents if is_of_remediation(row.get("event_type").unwrap_or_default()) => {
                Ok(vec![self.event(row)?])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn trace(&self, row: &Row) -> Result<Value, String> {
        let labels = json_of(row.get("signal_labels").or(row.get("alert_labels")));
        let resource = row.get("action_history_id").and_then(|id| self.resources.get(self.histories.get(id)?));
        let (namespace, target) = resource.map(|(namespace, target)| (namespace.clone(), target.clone())).unzip();
        let mut audit = Audit::new(row, &["action_timestamp", "correlation_id", "action_id", "embedding"]);
        audit.set("remediationRequestID", row.get("correlation_id").or(row.get("action_id")));
        audit.take("alertName", &["signal_name", "alert_name", "incident_type"]);
        audit.take_word("severity", &["signal_severity", "alert_severity", "incident_severity"], SEVERITIES);
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
        audit.take_number("confidence", "model_confidence");
        audit.take_number("durationMs", "execution_duration_ms");
        audit.take_word("status", &["execution_status"], &[OPEN, FINAL].concat());
        let began = time(row.get("action_timestamp").ok_or("it has no action_timestamp")?)?;
        if audit.fields.contains_key("status") {
            let started = row.get("execution_start_time").map(time).transpose()?;
            audit.set("executedAt", Some(started.unwrap_or_else(|| began.clone())));
        }
        audit.set("createdAt", Some(began));
        let source = format!("resource_action_traces/{}", row.get("action_id").or(row.get("id")).unwrap_or_default());
        Ok(audit.end(source, &self.cluster))
    }

    fn event(&self, row: &Row) -> Result<Value, String> {
        let kind = row.get("event_type").unwrap_or_default();
        let request = row.get("correlation_id");
        let signal = request.and_then(|request| self.signals.get(request));
        let data = json_of(row.get("event_data"));
        let mut audit = Audit::new(row, &["event_timestamp", "event_date", "correlation_id"]);
        audit.set("remediationRequestID", request);
        audit.set("alertName", signal.and_then(|signal| signal.name.clone()));
        audit.set("namespace", signal.and_then(|signal| signal.namespace.clone()));
        audit.take("namespace", &["namespace"]);
        audit.set("cluster", signal.and_then(|signal| signal.cluster.clone()));
        audit.take("cluster", &["cluster_id", "cluster_name"]);
        audit.take_word("severity", &["severity"], SEVERITIES);
        let severity = member(&data, &["severity"]).map(|word| word.to_lowercase());
        audit.set("severity", severity.filter(|word| SEVERITIES.contains(&word.as_str())));
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
        if let Some(confidence @ Value::Number(_)) = data.get("confidence") {
            audit.fields.insert("confidence".into(), confidence.clone());
        }
        audit.take_number("durationMs", "duration_ms");
        audit.set("status", status_of(kind));
        audit.set("createdAt", Some(time(row.get("event_timestamp").ok_or("it has no event_timestamp")?)?));
        Ok(audit.end(format!("audit_events/{}", row.get("event_id").unwrap_or_default()), &self.cluster))
    }
}

/// Of an attempt that has ended, its beginning.
fn begun(audit: &Value) -> Option<Value> {
    let status = audit["status"].as_str()?.to_lowercase();
    let mut fields = audit.as_object().filter(|_| FINAL.contains(&status.as_str()))?.clone();
    for of_the_end in ["executedAt", "durationMs", "errorMessage"] {
        fields.remove(of_the_end);
    }
    fields.insert("status".into(), "in_progress".into());
    let source = format!("{}#begin", audit["importedFrom"].as_str()?);
    fields.insert("importedFrom".into(), source.into());
    Some(fields.into())
}

/// Parts of the cluster that tell of remediations, as the first word of their events' types.
fn is_of_remediation(kind: &str) -> bool {
    let part = kind.split('.').next().unwrap_or_default();
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
        "notification",
        "webhook",
        "effectiveness",
    ];
    // Of the parts themselves, not of what they remedy.
    let own = ["auth.", "config.", "ratelimit.", "session."];
    parts.contains(&part) && !own.iter().any(|of| kind[part.len()..].trim_start_matches('.').starts_with(of))
}

/// The status that an event gives to its request. An event that only says how one part got on gives none.
fn status_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "workflowexecution.workflow.started" | "workflowexecution.execution.started" => "in_progress",
        "workflowexecution.workflow.completed" | "orchestrator.lifecycle.completed" => "completed",
        "workflowexecution.workflow.failed" | "orchestrator.lifecycle.failed" => "failed",
        "orchestrator.approval.rejected" => "cancelled",
        _ => return None,
    })
}

/// Words that the API takes. Others stay among the attributes.
const SEVERITIES: &[&str] = &[
    "critical",
    "page",
    "emergency",
    "fatal",
    "high",
    "error",
    "major",
    "medium",
    "warning",
    "warn",
    "low",
    "info",
    "none",
    "minor",
];
const OPEN: &[&str] =
    &["pending", "queued", "blocked", "waiting", "in_progress", "in-progress", "executing", "running", "processing"];
const FINAL: &[&str] = &[
    "completed",
    "success",
    "succeeded",
    "failed",
    "error",
    "timeout",
    "timedout",
    "cancelled",
    "canceled",
    "skipped",
    "aborted",
    "rolled_back",
    "rolled-back",
];

/// An audit that is being made of a row: what no field takes becomes an attribute.
struct Audit<'r> {
    row: &'r Row,
    fields: Map<String, Value>,
    /// Columns that are no attributes.
    taken: Vec<&'static str>,
}

impl<'r> Audit<'r> {
    fn new(row: &'r Row, taken: &[&'static str]) -> Self {
        Audit { row, fields: Map::new(), taken: taken.to_vec() }
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

    /// As [`take`](Self::take), if the value is one of these words.
    fn take_word(&mut self, field: &str, columns: &[&'static str], words: &[&str]) {
        self.take_if(field, columns, |value| words.contains(&value.to_lowercase().as_str()));
    }

    fn take_if(&mut self, field: &str, columns: &[&'static str], is_meant: impl Fn(&str) -> bool) {
        let is_free = !self.fields.contains_key(field);
        let mut found = columns.iter().filter_map(|column| Some((*column, self.row.get(column)?)));
        if let (true, Some((column, value))) = (is_free, found.find(|(_, value)| is_meant(value) && fits(field, value)))
        {
            self.fields.insert(field.to_owned(), value.into());
            self.taken.push(column);
        }
    }

    fn take_number(&mut self, field: &str, column: &'static str) {
        if let Some(number @ Value::Number(_)) = self.row.get(column).map(|value| json_of(Some(value))) {
            self.fields.insert(field.to_owned(), number);
            self.taken.push(column);
        }
    }

    /// The audit, with the rest of the row as attributes.
    fn end(mut self, source: String, cluster: &str) -> Value {
        self.set("alertName", Some("unknown"));
        self.set("namespace", Some("unknown"));
        self.set("cluster", Some(cluster));
        let rest = self.row.iter().filter(|(column, _)| !self.taken.contains(column));
        let rest: Vec<(String, Value)> = rest
            .map(|(column, value)| {
                let value = match json_of(Some(value)) {
                    json @ (Value::Object(_) | Value::Array(_)) => json,
                    _ => value.into(),
                };
                (column.to_owned(), value)
            })
            .collect();
        for (column, value) in rest {
            // A field of the API would be taken for the row's.
            self.fields.entry(format!("go_{column}")).or_insert(value);
        }
        self.fields.insert("importedFrom".into(), source.into());
        self.fields.into()
    }
}

/// Whether the API takes a value of this length; one that is longer stays among the attributes.
fn fits(field: &str, value: &str) -> bool {
    match field {
        "reasoning" | "errorMessage" => true,
        "targetResource" => value.chars().count() <= 512,
        _ => value.chars().count() <= 255,
    }
}

/// PostgreSQL's time as RFC 3339.
fn time(text: &str) -> Result<String, String> {
    let text =
        if text.contains(['+', 'Z']) || text.rfind('-') > Some(10) { text.to_owned() } else { format!("{text}+00") };
    let time = DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z");
    Ok(time.map_err(|_| format!("{text} is no time"))?.to_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
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
        assert!(time("infinity").is_err());
    }

    #[test]
    fn only_what_ends_a_remediation_says_how_it_ended() {
        assert_eq!(status_of("gateway.signal.received"), None);
        assert_eq!(status_of("orchestrator.lifecycle.completed"), Some("completed"));
        assert!(is_of_remediation("aianalysis.analysis.completed") && is_of_remediation("aiagent.rca.complete"));
        assert!(!is_of_remediation("aiagent.auth.failure") && !is_of_remediation("datastorage.ratelimit.denied"));
    }
}
