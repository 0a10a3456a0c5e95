//! `GET /api/v1/stats/success-rate`

use super::counted;
use super::walk::WalkPagination;
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::dimension::Dimension;
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::walk::{WalkCursor, question};
use data_storage_actors::query::{GetSuccessRate, SuccessRate};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Body {
    data: Vec<SuccessRate>,
    group_by: Vec<&'static str>,
    has_more: bool,
    pagination: WalkPagination,
}

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, state.recurrence_window, (state.clock)());
    let message = message.map_err(|invalid| counted(&state, invalid))?;
    let group_by: Vec<&'static str> = message.group_by.iter().map(|dimension| dimension.name).collect();
    let (asked, limit) = (question(message.filter.fingerprint(), &group_by), message.limit);
    let is_head = message.after.is_none();
    let rates = state.actors.query.read(message).await?;
    let pagination = WalkPagination::new(limit, rates.next, asked);
    let next = pagination.next_cursor.clone();
    let answer =
        HttpResponse::Ok().json(Body { data: rates.groups, group_by, has_more: pagination.has_more, pagination });
    Ok(super::page(answer, is_head, next))
}

fn parse(request: &HttpRequest, recurrence_window: Duration, now: DateTime<Utc>) -> Result<GetSuccessRate, Invalid> {
    let known: Vec<&'static str> = [&["group_by"], filters(), &["limit", "cursor"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let group_by = Dimension::parse_list(query.get("group_by")?.unwrap_or("alert_name,action_type"), |_| true)?;
    let filter = IncidentFilter::from_query(&query, now)?;
    let limit = query.number("limit", 1, 1000, 100)?;
    let names: Vec<&str> = group_by.iter().map(|dimension| dimension.name).collect();
    let asked = question(filter.fingerprint(), &names);
    let after = query.get("cursor")?.map(|text| WalkCursor::decode(text, asked)).transpose()?;
    query.end()?;
    Ok(GetSuccessRate { filter, group_by, limit, after, recurrence_window, may_hold: true })
}
