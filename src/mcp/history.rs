//! `get_history`: what was tried on a target, or for an alert in a place.

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::incident::cursor;
use super::search::{incidents_of, summed_up};
use super::tell;
use super::tools::ToolError;
use crate::state::AppState;
use data_storage_actors::domain::cursor::{Cursor, Order};
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::time::format_rfc3339;
use data_storage_actors::domain::workload::workload;
use data_storage_actors::query::{FindIncidents, FoundIncident, ListHistory, ReadSources, Source};
use data_storage_actors::similarity::Summary;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub async fn answer(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let filter = arguments.filter((state.clock)())?;
    let target = arguments.text("target")?;
    if target.is_none() && filter == IncidentFilter::default() {
        return Err(Invalid::wrong("target", "is required, or alert_name with its namespace and cluster").into());
    }
    let order = Order::Newest;
    let after = arguments.text("cursor")?.map(|text| Cursor::decode(text, &filter, order)).transpose()?;
    let limit = arguments.number("limit", 1, 100, 20)?;
    let ask = ListHistory { workload: target.map(workload), filter: filter.clone(), after, limit: limit + 1 };
    let mut places = state.actors.query.read(ask).await?;
    let older = usize::try_from(limit).ok().filter(|limit| places.len() > *limit).map(|limit| {
        places.truncate(limit);
        places.last().map(|last| last.encode(&filter, order))
    });
    let ids = places.iter().map(|place| (place.id, place.action_timestamp)).collect();
    let recurrence_window = state.recurrence_window;
    let ask = FindIncidents { ids, filter: IncidentFilter::default(), as_of: None, recurrence_window };
    let found: HashMap<i64, FoundIncident> =
        state.actors.query.read(ask).await?.into_iter().map(|found| (found.id, found)).collect();
    let summary = Summary::of(found.values());
    let ids = places.iter().map(|place| place.id).chain(incidents_of(&summary)).collect();
    let sources = state.actors.query.read(ReadSources { ids }).await?;
    // The newest are the best to keep: they are the beginning of the list, and turned round at the end.
    let mut list = List { is_turned: true, ..List::new("attempts", Vec::new()) };
    let mut before = arguments.text("cursor")?.map(str::to_owned);
    for place in &places {
        let Some(found) = found.get(&place.id) else { continue };
        let own = Some(place.encode(&filter, order));
        let attempts = attempts(found, sources.get(&place.id));
        for (at, attempt) in attempts.into_iter().enumerate().rev() {
            list.items.push(attempt);
            // Of an incident that is told in part, all is told again.
            let behind = if at == 0 { &own } else { &before };
            list.behind.push(behind.clone().map(cursor).unwrap_or_default());
        }
        before = own;
    }
    let mut lists = vec![list];
    lists.extend(summed_up(&summary, &sources));
    let mut fields = Map::new();
    if let Some(older) = older {
        fields.insert("older_cursor".into(), json!(older));
    }
    Ok(Answer { fields, lists, tool: "get_history", arguments: arguments.given.clone() })
}

/// The attempts of one incident, oldest first.
fn attempts(found: &FoundIncident, source: Option<&Source>) -> Vec<Value> {
    let fields = serde_json::to_value(&found.incident).unwrap_or_default();
    let incident = Value::from(tell::incident(&fields, source));
    let last = found.attempts.len().saturating_sub(1);
    let told = found.attempts.iter().enumerate().map(|(at, attempt)| {
        let mut told = Map::new();
        for name in ["incident_id", "audit_id", "writer", "action_timestamp"] {
            told.insert(name.into(), incident[name].clone());
        }
        told.insert("outcome".into(), json!(attempt.outcome));
        if let Some(ended_at) = attempt.ended_at {
            told.insert("ended_at".into(), format_rfc3339(ended_at).into());
        }
        let mut untrusted = Map::new();
        for name in
            ["alert_name", "namespace", "cluster_name", "target_resource", "remediation_request_id", "error_message"]
        {
            // The error is that of the last attempt.
            if let Some(value) = incident["untrusted"].get(name).filter(|_| name != "error_message" || at == last) {
                untrusted.insert(name.into(), value.clone());
            }
        }
        untrusted.insert("action_type".into(), json!(attempt.action_type.as_deref().map(tell::clean)));
        told.insert("untrusted".into(), untrusted.into());
        Value::from(told)
    });
    told.collect()
}
