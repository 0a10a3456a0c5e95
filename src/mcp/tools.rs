//! The tools: what they are called, what they take, and who answers. All of them only read.

use super::arguments::Arguments;
use super::fit::Answer;
use super::tool_error::ToolError;
use super::{history, incident, list, search, success_rate, whoami};
use crate::state::AppState;
use actix_web::HttpRequest;
use serde_json::{Map, Value, json};

pub const NAMES: [&str; 7] = [
    "whoami",
    "search_similar_incidents",
    "get_incident",
    "list_incidents",
    "get_timeline",
    "get_history",
    "get_success_rate",
];

/// Calls the tool of this name, one of [`NAMES`]. The answer, and how many tokens it may have.
pub async fn call(
    state: &AppState,
    request: &HttpRequest,
    name: &'static str,
    given: Map<String, Value>,
) -> Result<(Answer, usize), ToolError> {
    let arguments = |own: &[&str], takes_filters| Arguments::new(given.clone(), own, takes_filters);
    let (arguments, answer) = match name {
        "whoami" => {
            let arguments = arguments(&[], false)?;
            let answer = whoami::answer(state, request).await?;
            (arguments, answer)
        }
        "search_similar_incidents" => {
            let arguments = arguments(&["query", "incident_id", "limit"], true)?;
            let answer = search::answer(state, &arguments).await?;
            (arguments, answer)
        }
        "get_incident" => {
            let arguments = arguments(&["incident_id"], false)?;
            let answer = incident::detail(state, &arguments).await?;
            (arguments, answer)
        }
        "get_timeline" => {
            let arguments = arguments(&["incident_id", "cursor"], false)?;
            let answer = incident::timeline(state, &arguments).await?;
            (arguments, answer)
        }
        "list_incidents" => {
            let arguments = arguments(&["order", "limit", "cursor"], true)?;
            let answer = list::answer(state, &arguments).await?;
            (arguments, answer)
        }
        "get_history" => {
            let arguments = arguments(&["target", "limit", "cursor"], true)?;
            let answer = history::answer(state, &arguments).await?;
            (arguments, answer)
        }
        _ => {
            let arguments = arguments(&["group_by", "limit", "cursor"], true)?;
            let answer = success_rate::answer(state, &arguments).await?;
            (arguments, answer)
        }
    };
    Ok((answer, arguments.max_tokens))
}

/// What `tools/list` answers: flat schemas, which every agent can read.
pub fn list() -> Value {
    let text = || json!({"type": "string"});
    let id = || json!({"type": "integer"});
    let limit = |most: u32, usual: u32| json!({"type": "integer", "minimum": 1, "maximum": most, "default": usual});
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    let filters = || {
        vec![
            ("alert_name", text()),
            ("severity", words(&["critical", "high", "medium", "low"])),
            ("action_type", text()),
            ("namespace", text()),
            ("cluster", text()),
            ("status", words(&["pending", "in_progress", "completed", "failed", "cancelled", "rolled_back"])),
            ("target_resource", text()),
            ("environment", text()),
            ("alert_fingerprint", text()),
            ("remediation_request_id", text()),
            ("since", json!({"type": "string", "description": "RFC 3339, or a span such as 24h or 7d"})),
            ("until", text()),
        ]
    };
    let tool = |name: &str, description: &str, own: Vec<(&str, Value)>, required: &[&str]| {
        let mut properties: Map<String, Value> =
            own.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        properties
            .insert("max_tokens".into(), json!({"type": "integer", "minimum": 200, "maximum": 20000, "default": 4000}));
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties, "required": required, "additionalProperties": false},
            "annotations": {"readOnlyHint": true, "openWorldHint": false}
        })
    };
    let with = |own: Vec<(&'static str, Value)>| own.into_iter().chain(filters()).collect::<Vec<_>>();
    json!([
        tool("whoami", "Who you are, what you may do, and what is stored.", vec![], &[]),
        tool(
            "search_similar_incidents",
            "Past incidents like a text (query) or like an incident (incident_id): best first, with their outcome, what worked and what not to repeat.",
            with(vec![("query", text()), ("incident_id", id()), ("limit", limit(100, 5))]),
            &[]
        ),
        tool(
            "get_incident",
            "One incident: its facts, texts and audits.",
            vec![("incident_id", id())],
            &["incident_id"]
        ),
        tool(
            "list_incidents",
            "Incidents by facts and time, with the exact total.",
            with(vec![("order", words(&["newest", "oldest"])), ("limit", limit(100, 20)), ("cursor", text())]),
            &[]
        ),
        tool(
            "get_timeline",
            "All that happened in an incident, in order.",
            vec![("incident_id", id()), ("cursor", text())],
            &["incident_id"]
        ),
        tool(
            "get_history",
            "What was tried on a target (any pod of a workload) or for an alert and place, oldest first: what worked, what not to repeat.",
            with(vec![
                ("target", json!({"type": "string", "description": "such as deployment/web"})),
                ("limit", limit(100, 20)),
                ("cursor", text())
            ]),
            &[]
        ),
        tool(
            "get_success_rate",
            "How often actions worked, by group.",
            with(vec![
                (
                    "group_by",
                    json!({"type": "array", "items": {"type": "string", "enum": ["alert_name", "action_type", "severity", "namespace", "cluster", "environment", "model_used", "target", "day", "week", "month"]}})
                ),
                ("limit", limit(100, 20)),
                ("cursor", text())
            ]),
            &[]
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_cost_few_tokens() {
        let tools = list();
        let names: Vec<&str> =
            tools.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(names, NAMES);
        let text = tools.to_string();
        assert!(text.len() / 4 < 1_500 && !text.contains("$ref"), "{} tokens", text.len() / 4);
    }
}
