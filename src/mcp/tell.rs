//! How an answer tells what is stored. What people or machines wrote is data: it stands under `untrusted` alone, with its writer and audit
//! beside it, and without characters that are not seen.

use crate::visible::visible;
use data_storage_actors::query::AuditSource;
use data_storage_actors::similarity::Action;
use serde_json::{Map, Value, json};

/// Fields whose values are a closed set of words, numbers or times of this service.
const OWN: [&str; 20] = [
    "action_timestamp",
    "alert_severity",
    "execution_status",
    "model_confidence",
    "start_time",
    "end_time",
    "duration",
    "similarity",
    "score",
    "outcome",
    "alike",
    "outcomes",
    "priority",
    "created_at",
    "updated_at",
    "audits_total",
    "severity",
    "status",
    "confidence",
    "type",
];

/// An incident as agents get it, from the fields that readers get. What is not known is left out.
pub fn incident(fields: &Value, source: Option<&AuditSource>) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("incident_id".into(), fields["id"].clone());
    attribute(&mut told, source.map(|source| (source.audit_id.as_str(), source.writer.as_str())));
    let mut untrusted = Map::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        match name.as_str() {
            "id" | "why" => {}
            _ if value.is_null() => {}
            name if OWN.contains(&name) => _ = told.insert(name.into(), value.clone()),
            name => _ = untrusted.insert(name.into(), clean_value(value)),
        }
    }
    told.insert("untrusted".into(), untrusted.into());
    told
}

/// One audit of a timeline or of an incident, from the fields that readers get.
pub fn audit(fields: &Value) -> Map<String, Value> {
    let mut told = Map::new();
    let mut untrusted = Map::new();
    attribute(&mut told, fields["auditID"].as_str().zip(fields["writer"].as_str()));
    for (name, value) in fields.as_object().into_iter().flatten() {
        match name.as_str() {
            "auditID" | "writer" | "assumed" | "truncated" => {}
            _ if value.is_null() => {}
            name @ ("type" | "time" | "status" | "severity" | "priority" | "confidence") => {
                told.insert(name.into(), value.clone());
            }
            "stepStatus" => _ = told.insert("status".into(), value.clone()),
            "durationMs" => _ = told.insert("duration".into(), value.clone()),
            "receivedAt" => _ = told.insert("received_at".into(), value.clone()),
            // The time of a timeline's entry is one of these.
            "createdAt" | "executedAt" if fields.get("time").is_some() => {}
            "createdAt" => _ = told.insert("time".into(), value.clone()),
            "executedAt" => {}
            // One text, which can be cut.
            "attributes" => _ = untrusted.insert(name.clone(), clean_value(value).to_string().into()),
            name => _ = untrusted.insert(snake_case(name), clean_value(value)),
        }
    }
    told.insert("untrusted".into(), untrusted.into());
    told
}

/// An action and how often it worked.
pub fn action(action: &Action, source: Option<&AuditSource>) -> Value {
    let mut told = Map::new();
    told.insert("incident_id".into(), action.incident.into());
    attribute(&mut told, source.map(|source| (source.audit_id.as_str(), source.writer.as_str())));
    told.insert("n".into(), action.n.into());
    told.insert("worked".into(), action.completed.into());
    told.insert("failed".into(), action.failed.into());
    told.insert("recurred".into(), action.recurred.into());
    told.insert("interval".into(), json!(action.interval));
    told.insert("untrusted".into(), json!({"action_type": visible(&action.action_type)}));
    told.into()
}

/// Says who wrote it.
pub fn attribute(told: &mut Map<String, Value>, source: Option<(&str, &str)>) {
    told.insert("audit_id".into(), json!(source.map(|(audit_id, _)| audit_id)));
    told.insert("writer".into(), json!(source.map(|(_, writer)| visible(writer))));
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.replace("ID", "Id").chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// A value whose texts are [`visible`].
pub fn clean_value(value: &Value) -> Value {
    match value {
        Value::String(text) => visible(text).into(),
        Value::Array(values) => values.iter().map(clean_value).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (visible(name), clean_value(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_writer_wrote_is_untrusted() {
        let fields = json!({"id": 7, "alert_name": "A", "execution_status": "failed", "namespace": null, "why": []});
        let source = AuditSource { audit_id: "audit-1".into(), writer: "w".into() };
        assert_eq!(
            Value::from(incident(&fields, Some(&source))),
            json!({"incident_id": 7, "audit_id": "audit-1", "writer": "w", "execution_status": "failed", "untrusted": {"alert_name": "A"}})
        );
        let fields = json!({"auditID": "audit-2", "writer": "w", "type": "remediation", "actionType": "scale", "durationMs": 5,
            "remediationRequestID": "rr", "attributes": {"a": "b"}, "createdAt": "t"});
        assert_eq!(
            Value::from(audit(&fields)),
            json!({"audit_id": "audit-2", "writer": "w", "type": "remediation", "duration": 5, "time": "t",
                "untrusted": {"action_type": "scale", "remediation_request_id": "rr", "attributes": "{\"a\":\"b\"}"}})
        );
    }
}
