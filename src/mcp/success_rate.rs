//! `get_success_rate`, as the route.

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::tell;
use super::tool_error::ToolError;
use crate::state::AppState;
use data_storage_actors::domain::dimension::Dimension;
use data_storage_actors::domain::walk::{WalkCursor, question};
use data_storage_actors::query::GetSuccessRate;
use serde_json::{Map, Value, json};

/// What is counted in a group, and the groups that are periods of time: words of this service.
const OWN: [&str; 11] = [
    "n",
    "completed",
    "failed",
    "recurred",
    "success_rate",
    "interval",
    "median_duration",
    "insufficient_data",
    "day",
    "week",
    "month",
];

pub async fn answer(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let filter = arguments.filter((state.clock)())?;
    let group_by = arguments.names("group_by")?.unwrap_or_else(|| "alert_name,action_type".to_owned());
    let group_by = Dimension::parse_list(&group_by, |_| true)?;
    let names: Vec<&str> = group_by.iter().map(|dimension| dimension.name).collect();
    let asked = question(filter.fingerprint(), &names);
    let after = arguments.text("cursor")?.map(|text| WalkCursor::decode(text, asked)).transpose()?;
    let limit = arguments.number("limit", 1, 100, 20)?;
    let recurrence_window = state.recurrence_window;
    let rates = state
        .actors
        .query
        .read(GetSuccessRate { filter, group_by, limit, after, recurrence_window, may_hold: true })
        .await?;
    let groups = rates.groups.iter().map(|group| {
        let fields = serde_json::to_value(group).unwrap_or_default();
        let (mut told, mut untrusted) = (Map::new(), Map::new());
        tell::attribute(&mut told, None);
        for (name, value) in fields.as_object().into_iter().flatten() {
            match OWN.contains(&name.as_str()) {
                true => told.insert(name.clone(), value.clone()),
                false => untrusted.insert(name.clone(), tell::clean_value(value)),
            };
        }
        told.insert("untrusted".into(), untrusted.into());
        Value::from(told)
    });
    let mut list = List::new("groups", groups.collect());
    list.cursor = Some(("next_cursor", json!(rates.next.map(|next| next.encode(asked)))));
    Ok(Answer { fields: Map::new(), lists: vec![list], tool: "get_success_rate", arguments: arguments.given.clone() })
}
