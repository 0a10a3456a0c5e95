//! `get_incident` and `get_timeline`.

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::tell;
use super::tool_error::ToolError;
use crate::state::AppState;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::query::{AuditSource, GetIncident, GetTimeline};
use serde_json::{Map, Value, json};

pub async fn detail(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let id = incident_id(arguments)?;
    let detail = state.actors.query.read(GetIncident { id }).await?;
    let mut fields = serde_json::to_value(&detail).unwrap_or_default();
    let fields = fields.as_object_mut().map(std::mem::take).unwrap_or_default();
    let (mut facts, mut audits, mut conflicts) = (Map::new(), Vec::new(), Vec::new());
    for (name, value) in fields {
        match name.as_str() {
            "audits" => audits = value.as_array().cloned().unwrap_or_default(),
            "conflicts" => conflicts = value.as_array().cloned().unwrap_or_default(),
            "attributes" if !value.is_null() => _ = facts.insert(name, tell::clean_value(&value).to_string().into()),
            _ => _ = facts.insert(name, value),
        }
    }
    let latest = audits.last().and_then(|audit| {
        Some(AuditSource {
            audit_id: audit["auditID"].as_str()?.to_owned(),
            writer: audit["writer"].as_str()?.to_owned(),
        })
    });
    let incident = Value::from(tell::incident(&facts.into(), latest.as_ref()));
    let conflicts = conflicts.iter().map(|conflict| {
        let values = tell::clean_value(&conflict["values"]);
        let mut told = Map::new();
        told.insert("field".into(), conflict["field"].clone());
        tell::attribute(&mut told, latest.as_ref().map(|latest| (latest.audit_id.as_str(), latest.writer.as_str())));
        told.insert("untrusted".into(), json!({"values": values}));
        Value::from(told)
    });
    let lists = vec![
        List::new("incident", vec![incident.clone()]),
        List::new("conflicts", conflicts.collect()),
        // The newest first: what is left out is the oldest.
        List::new("audits", audits.iter().rev().map(|audit| without(tell::audit(audit), &incident).into()).collect()),
    ];
    Ok(Answer { fields: Map::new(), lists, tool: "get_incident", arguments: arguments.given.clone() })
}

/// Without the texts that the incident has from this audit: they are long, and told once.
fn without(mut audit: Map<String, Value>, incident: &Value) -> Map<String, Value> {
    let mut same = Vec::new();
    if let Some(untrusted) = audit.get_mut("untrusted").and_then(Value::as_object_mut) {
        for name in ["reasoning", "error_message"] {
            if untrusted.get(name).is_some_and(|text| *text == incident["untrusted"][name]) {
                untrusted.remove(name);
                same.push(name);
            }
        }
    }
    if !same.is_empty() {
        audit.insert("same_as_incident".into(), json!(same));
    }
    audit
}

pub async fn timeline(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let id = incident_id(arguments)?;
    let unknown = || Invalid::wrong("cursor", "is not one that this service gave");
    let begin: usize = match arguments.text("cursor")? {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| unknown())?,
    };
    let timeline = state.actors.query.read(GetTimeline { id }).await?;
    let entries = timeline.data.iter().skip(begin);
    let told: Vec<Value> =
        entries.map(|entry| tell::audit(&serde_json::to_value(entry).unwrap_or_default()).into()).collect();
    let mut list = List::new("entries", told);
    list.behind = (0..list.items.len()).map(|at| cursor((begin + at + 1).to_string())).collect();
    let fields = json!({"incident_id": id, "total": timeline.total});
    let fields = fields.as_object().cloned().unwrap_or_default();
    Ok(Answer { fields, lists: vec![list], tool: "get_timeline", arguments: arguments.given.clone() })
}

fn incident_id(arguments: &Arguments) -> Result<i64, Invalid> {
    arguments.incident("incident_id")?.ok_or_else(|| Invalid::required("incident_id"))
}

/// The argument that goes on from there.
pub(super) fn cursor(cursor: String) -> Map<String, Value> {
    [("cursor".to_owned(), cursor.into())].into_iter().collect()
}
