//! `GET /api/v1/stats/counts`

use super::counted;
use super::walk::{WalkPagination, Walked};
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::dimension::{Dimension, DimensionKind};
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::walk::{WalkCursor, question};
use data_storage_actors::query::GetCounts;

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let (message, asked) = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    let (limit, is_head) = (message.limit, message.after.is_none());
    let counts = state.actors.query.read(message).await?;
    let pagination = WalkPagination::new(limit, counts.next, asked);
    let next = pagination.next_cursor.clone();
    Ok(super::page(HttpResponse::Ok().json(Walked { data: counts.entries, pagination }), is_head, next))
}

/// The question, and its fingerprint.
fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<(GetCounts, [u8; 8]), Invalid> {
    let known: Vec<&'static str> = [&["interval", "group_by"], filters(), &["limit", "cursor"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let interval = Dimension::parse_interval(query.get("interval")?.unwrap_or("day"))?;
    let group_by = match query.get("group_by")? {
        None => Vec::new(),
        Some(list) => Dimension::parse_list(list, |dimension| dimension.kind == DimensionKind::Text)?,
    };
    let filter = IncidentFilter::from_query(&query, now)?;
    let limit = query.number("limit", 1, 1000, 1000)?;
    let names: Vec<&str> = [interval].iter().chain(&group_by).map(|dimension| dimension.name).collect();
    let asked = question(filter.fingerprint(), &names);
    let after = query.get("cursor")?.map(|text| WalkCursor::decode(text, asked)).transpose()?;
    query.end()?;
    Ok((GetCounts { filter, interval, group_by, limit, after }, asked))
}
