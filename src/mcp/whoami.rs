//! `whoami`: the identity, its rights, and what is stored.

use super::fit::Answer;
use super::tool_error::ToolError;
use crate::extract::identity;
use crate::state::AppState;
use actix_web::HttpRequest;
use data_storage_actors::domain::cursor::Order;
use data_storage_actors::domain::filter::IncidentFilter;
use data_storage_actors::domain::identity::Access;
use data_storage_actors::query::{ListIncidents, PageStart};
use serde_json::{Map, Value, json};

pub async fn answer(state: &AppState, request: &HttpRequest) -> Result<Answer, ToolError> {
    let identity = identity(state, request).await;
    let may = async |access| match &identity {
        Some(identity) => state.actors.auth.permit(identity, access).await.is_ok(),
        None => false,
    };
    let rights = json!({
        "read": true,
        "write_remediation": may(Access::WriteRemediation).await,
        "write_workflow": may(Access::WriteWorkflow).await,
    });
    let end = async |order| {
        let start = PageStart::Offset(0);
        let ask = ListIncidents { filter: IncidentFilter::default(), order, limit: 1, start, total: true };
        let page = state.actors.query.read(ask).await?;
        let incident = page.incidents.first().and_then(|incident| serde_json::to_value(incident).ok());
        let time = incident.map_or(Value::Null, |incident| incident["action_timestamp"].clone());
        Ok::<_, ToolError>((page.total, time))
    };
    let (count, newest) = end(Order::Newest).await?;
    let (_, oldest) = end(Order::Oldest).await?;
    let user = identity.map_or_else(|| "anonymous".to_owned(), |identity| identity.user.to_string());
    let fields = json!({
        "identity": user,
        "rights": rights,
        "stored": {"incidents": count, "oldest": oldest, "newest": newest},
    });
    let fields = fields.as_object().cloned().unwrap_or_default();
    Ok(Answer { fields, lists: Vec::new(), tool: "whoami", arguments: Map::new() })
}
