//! `GET /api/v1/workflows/{workflowID}/steps`

use super::{counted, missing, shortened};
use crate::extract::{MAX_ID, admit_read, path_name};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::{ListSteps, WorkflowRecord};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    data: Vec<WorkflowRecord>,
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    limit: i64,
    offset: i64,
    total: i64,
    has_more: bool,
}

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request).map_err(|invalid| counted(&state, invalid))?;
    let (limit, offset) = (message.limit, message.offset);
    let none = missing(format!("workflow {}", shortened(&message.workflow_id)));
    let page = state.actors.query.read(message).await.map_err(none)?;
    // A page of very long steps has fewer steps than its limit.
    let shown = i64::try_from(page.steps.len()).unwrap_or(i64::MAX);
    let has_more = offset.saturating_add(shown) < page.total && shown > 0;
    let pagination = Pagination { limit, offset, total: page.total, has_more };
    Ok(super::page(HttpResponse::Ok().json(Answer { data: page.steps, pagination }), offset == 0, None))
}

fn parse(request: &HttpRequest) -> Result<ListSteps, Invalid> {
    let workflow_id = path_name(request)?;
    let query = Parameters::parse(request.query_string(), &["limit", "offset"]);
    let limit = query.number("limit", 1, 1000, 1000)?;
    let offset = query.number("offset", 0, MAX_ID, 0)?;
    query.end()?;
    Ok(ListSteps { workflow_id, limit, offset })
}
