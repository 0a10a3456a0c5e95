//! `GET /api/v1/workflows`

use super::counted;
use super::walk::{WalkPagination, Walked};
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::audit_filter::WorkflowFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::ListWorkflows;

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    let (asked, limit, is_head) = (message.filter.fingerprint(), message.limit, message.after.is_none());
    let page = state.actors.query.read(message).await?;
    let pagination = WalkPagination::new(limit, page.next, asked);
    let next = pagination.next_cursor.clone();
    Ok(super::page(HttpResponse::Ok().json(Walked { data: page.workflows, pagination }), is_head, next))
}

fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<ListWorkflows, Invalid> {
    let known = [&WorkflowFilter::NAMES[..], &["limit", "cursor"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let filter = WorkflowFilter::from_query(&query, now)?;
    let limit = query.number("limit", 1, 1000, 100)?;
    let after = super::walk::after(&query, filter.fingerprint())?;
    query.end()?;
    Ok(ListWorkflows { filter, limit, after })
}
