//! `list_incidents`, as the route.

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::incident::cursor;
use super::tell;
use super::tool_error::ToolError;
use crate::state::AppState;
use data_storage_actors::domain::cursor::{Cursor, Order};
use data_storage_actors::query::{ListIncidents, PageStart, ReadSources};
use serde_json::{Map, Value, json};

pub async fn answer(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let filter = arguments.filter((state.clock)())?;
    let order = Order::parse(arguments.text("order")?)?;
    let start = match arguments.text("cursor")? {
        None => PageStart::Offset(0),
        Some(cursor) => PageStart::After(Cursor::decode(cursor, &filter, order)?),
    };
    let limit = arguments.number("limit", 1, 100, 20)?;
    let ask = ListIncidents { filter: filter.clone(), order, limit, start, total: true };
    let page = state.actors.query.read(ask).await?;
    let fields: Vec<Value> =
        page.incidents.iter().map(|incident| serde_json::to_value(incident).unwrap_or_default()).collect();
    let ids: Vec<i64> = fields.iter().filter_map(|fields| fields["id"].as_i64()).collect();
    let sources = state.actors.query.read(ReadSources { ids: ids.clone() }).await?;
    let told = fields.iter().zip(&ids).map(|(fields, id)| tell::incident(fields, sources.get(id)).into());
    let mut list = List::new("incidents", told.collect());
    list.behind = page.incidents.iter().map(|incident| cursor(incident.cursor().encode(&filter, order))).collect();
    let next = page.next.map(|next| next.encode(&filter, order));
    list.cursor = Some(("next_cursor", json!(next)));
    let fields = json!({"total": page.total});
    let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
    Ok(Answer { fields, lists: vec![list], tool: "list_incidents", arguments: arguments.given.clone() })
}
