//! `get_history`: what was tried on a target, or for an alert in a place.

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::incident::cursor;
use super::search::{incidents_of, summed_up};
use super::tell;
use super::tool_error::ToolError;
use crate::state::AppState;
use crate::visible::visible;
use data_storage_actors::domain::cursor::{Cursor, Order};
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::time::format_rfc3339;
use data_storage_actors::domain::workload::workload;
use data_storage_actors::query::{AttemptSource, FindIncidents, FoundIncident, ListHistory, ReadAttempts, ReadSources};
use data_storage_actors::similarity::Summary;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

pub async fn answer(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let filter = arguments.filter((state.clock)())?;
    let target = arguments.text("target")?;
    if target.is_none() && filter == IncidentFilter::default() {
        return Err(Invalid::wrong("target", "is required, or alert_name with its namespace and cluster").into());
    }
    let workload = target.map(workload);
    // The target belongs to the question: a cursor of another one is refused.
    let mut asked = filter.clone();
    if let Some(workload) = &workload {
        asked.set("target_resource", workload, (state.clock)())?;
    }
    let order = Order::Newest;
    let encode = |cursor: &Cursor| cursor.encode(&asked, order);
    // Behind an incident, and behind so many attempts of the next one.
    let (after, told_before) = match arguments.text("cursor")? {
        None => (None, 0),
        Some(text) => {
            let (cursor, told) = text.split_once('~').unwrap_or((text, "0"));
            let told: usize =
                told.parse().map_err(|_| Invalid::wrong("cursor", "is not one that this service gave"))?;
            let cursor = Some(cursor).filter(|cursor| !cursor.is_empty());
            (cursor.map(|cursor| Cursor::decode(cursor, &asked, order)).transpose()?, told)
        }
    };
    let limit = arguments.number("limit", 1, 100, 20)?;
    let list = async |after, limit| {
        state.actors.query.read(ListHistory { workload: workload.clone(), filter: filter.clone(), after, limit }).await
    };
    let mut places = list(after, limit + 1).await?;
    let older = usize::try_from(limit).ok().filter(|limit| places.len() > *limit).map(|limit| {
        places.truncate(limit);
        places.last().map(&encode)
    });
    // What worked is counted over the same incidents, whatever page is shown.
    let counted = list(None, COUNTED).await?;
    let ids: Vec<_> = places.iter().chain(&counted).map(|place| (place.id, place.action_timestamp)).collect();
    let ids: Vec<_> = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let recurrence_window = state.recurrence_window;
    let ask = FindIncidents { ids, filter: IncidentFilter::default(), as_of: None, recurrence_window };
    let found: HashMap<i64, FoundIncident> =
        state.actors.query.read(ask).await?.into_iter().map(|found| (found.id, found)).collect();
    let summary = Summary::of(counted.iter().filter_map(|place| found.get(&place.id)));
    let sources = state.actors.query.read(ReadSources { ids: incidents_of(&summary).collect() }).await?;
    let shown = places.iter().map(|place| (place.id, place.action_timestamp)).collect();
    let ends = state.actors.query.read(ReadAttempts { ids: shown }).await?;
    // The newest are the best to keep: they are the beginning of the list, and turned round at the end.
    let mut list = List { is_turned: true, ..List::new("attempts", Vec::new()) };
    let mut before = after.as_ref().map(&encode).unwrap_or_default();
    for (nth, place) in places.iter().enumerate() {
        let Some(found) = found.get(&place.id) else { continue };
        let attempts = attempts(found, ends.get(&place.id).map_or(&[], Vec::as_slice));
        let skipped = if nth == 0 { told_before } else { 0 };
        let last = attempts.len();
        for (at, attempt) in attempts.into_iter().rev().enumerate().skip(skipped) {
            list.items.push(attempt);
            let behind = if at + 1 == last { encode(place) } else { format!("{before}~{}", at + 1) };
            list.behind.push(cursor(behind));
        }
        before = encode(place);
    }
    list.cursor = Some(("older_cursor", json!(older)));
    let mut lists = vec![list];
    lists.extend(summed_up(&summary, &sources));
    let mut fields = Map::new();
    fields.insert("incidents_counted".into(), counted.len().into());
    Ok(Answer { fields, lists, tool: "get_history", arguments: arguments.given.clone() })
}

/// Incidents over which it is counted what worked: the newest.
const COUNTED: i64 = 100;

/// The attempts of one incident, oldest first, each with the audit that states its end.
fn attempts(found: &FoundIncident, ends: &[AttemptSource]) -> Vec<Value> {
    let fields = serde_json::to_value(&found.incident).unwrap_or_default();
    let incident = Value::from(tell::incident(&fields, None));
    let last = found.attempts.len().saturating_sub(1);
    let told = found.attempts.iter().enumerate().map(|(at, attempt)| {
        // Attempts before the last one are numbered from 1.
        let is_own = |end: &&AttemptSource| {
            if at == last { end.is_of_last() } else { usize::try_from(end.number) == Ok(at + 1) }
        };
        let end = ends.iter().find(is_own);
        let mut told = Map::new();
        for name in ["incident_id", "action_timestamp"] {
            told.insert(name.into(), incident[name].clone());
        }
        tell::attribute(&mut told, end.map(|end| (end.audit_id.as_str(), end.writer.as_str())));
        told.insert("outcome".into(), json!(attempt.outcome));
        if let Some(ended_at) = attempt.ended_at {
            told.insert("ended_at".into(), format_rfc3339(ended_at).into());
        }
        let mut untrusted = Map::new();
        for name in ["alert_name", "namespace", "cluster_name", "target_resource", "remediation_request_id"] {
            if let Some(value) = incident["untrusted"].get(name) {
                untrusted.insert(name.into(), value.clone());
            }
        }
        let mut own = |name: &str, text: Option<&str>| {
            if let Some(text) = text {
                untrusted.insert(name.into(), visible(text).into());
            }
        };
        own("action_type", attempt.action_type.as_deref());
        own("target_resource", end.and_then(|end| end.target_resource.as_deref()));
        let error = end.and_then(|end| end.error_message.as_deref());
        own("error_message", error.map(|error| error.char_indices().nth(1_000).map_or(error, |(at, _)| &error[..at])));
        told.insert("untrusted".into(), untrusted.into());
        Value::from(told)
    });
    told.collect()
}
