//! `search_similar_incidents`: when did we see this before, and what worked?

use super::arguments::Arguments;
use super::fit::{Answer, List};
use super::tell;
use super::tool_error::ToolError;
use crate::routes::search_incidents::check_store;
use crate::state::AppState;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::search::{About, Collapse, Search};
use data_storage_actors::query::{AuditSource, ReadSources};
use data_storage_actors::similarity::{FindSimilar, Summary};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub async fn answer(state: &AppState, arguments: &Arguments) -> Result<Answer, ToolError> {
    let about = match (arguments.text("query")?, arguments.incident("incident_id")?) {
        (Some(text), None) => About::Text(text.to_owned()),
        (None, Some(id)) => About::Incident(id),
        (None, None) => return Err(Invalid::required("query").into()),
        (Some(_), Some(_)) => return Err(Invalid::wrong("incident_id", "and query must not both be given").into()),
    };
    let search = Search {
        about,
        filter: arguments.filter((state.clock)())?,
        limit: usize::try_from(arguments.number("limit", 1, 100, 5)?).unwrap_or(5),
        min_similarity: None,
        half_life: None,
        as_of: None,
        include_text: true,
        // Ten copies of one failure tell an agent as much as one.
        collapse: Collapse::Pattern,
        explain: None,
    };
    check_store(state)?;
    let found = state.actors.similarity.read(FindSimilar(search)).await?;
    let hits: Vec<Value> = found.data.iter().map(|hit| serde_json::to_value(hit).unwrap_or_default()).collect();
    let ids = found.data.iter().map(|hit| hit.id).chain(incidents_of(&found.summary)).collect();
    let sources = state.actors.query.read(ReadSources { ids }).await?;
    let told = found.data.iter().zip(&hits).map(|(hit, fields)| {
        let mut told = tell::incident(fields, sources.get(&hit.id));
        let why = fields["why"].as_array().into_iter().flatten();
        told.insert("why".into(), why.clone().map(|why| why["signal"].clone()).collect());
        let terms = why.filter_map(|why| why["terms"].as_array()).flatten().map(tell::clean_value).collect::<Value>();
        if let Some(untrusted) = told.get_mut("untrusted").and_then(Value::as_object_mut) {
            untrusted.insert("matched_words".into(), terms);
        }
        Value::from(told)
    });
    let mut lists = vec![List::new("hits", told.collect())];
    lists.extend(summed_up(&found.summary, &sources));
    let mut fields = Map::new();
    fields.insert("coverage".into(), json!(found.coverage));
    Ok(Answer { fields, lists, tool: "search_similar_incidents", arguments: arguments.given.clone() })
}

/// The incidents in which the actions were tried last.
pub(super) fn incidents_of(summary: &Summary) -> impl Iterator<Item = i64> {
    summary.worked.iter().chain(&summary.do_not_repeat).map(|action| action.incident)
}

/// What worked, and what not to repeat.
pub(super) fn summed_up(summary: &Summary, sources: &HashMap<i64, AuditSource>) -> [List; 2] {
    let told = |actions: &[data_storage_actors::similarity::Action]| {
        actions.iter().map(|action| tell::action(action, sources.get(&action.incident))).collect()
    };
    [List::new("worked", told(&summary.worked)), List::new("do_not_repeat", told(&summary.do_not_repeat))]
}
