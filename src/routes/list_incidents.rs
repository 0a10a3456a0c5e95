//! `GET /api/v1/incidents`

use super::counted;
use crate::extract::{MAX_ID, admit_read};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::cursor::{Cursor, Order};
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::{Incident, ListIncidents, PageStart};
use serde::Serialize;

#[derive(Serialize)]
struct Pagination {
    limit: i64,
    offset: i64,
    total: Option<i64>,
    has_more: bool,
    next_cursor: Option<String>,
}

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    let (filter, order, limit) = (message.filter.clone(), message.order, message.limit);
    let offset = match message.start {
        PageStart::Offset(offset) => offset,
        PageStart::After(_) => 0,
    };
    let is_head = matches!(message.start, PageStart::Offset(0));
    let page = state.actors.query.read(message).await?;
    let next = page.next.map(|cursor| cursor.encode(&filter, order));
    let body = page.body(|| {
        let (has_more, next_cursor) = (page.next.is_some(), next.clone());
        body(&page.incidents, &Pagination { limit, offset, total: page.total, has_more, next_cursor })
    });
    Ok(super::page(HttpResponse::Ok().content_type(ContentType::json()).body(body), is_head, next))
}

/// About how many bytes an incident takes.
const INCIDENT_BYTES: usize = 600;

fn body(incidents: &[Incident], pagination: &Pagination) -> Vec<u8> {
    let mut body = Vec::with_capacity(200 + incidents.len() * INCIDENT_BYTES);
    body.extend_from_slice(b"{\"data\":[");
    for (at, incident) in incidents.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        incident.write_json(&mut body);
    }
    body.extend_from_slice(b"],\"pagination\":");
    // The pagination has only numbers and text: writing them into memory cannot fail.
    let _ = serde_json::to_writer(&mut body, pagination);
    body.push(b'}');
    body
}

fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<ListIncidents, Invalid> {
    let known: Vec<&'static str> = [filters(), &["order", "limit", "offset", "total", "cursor"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let filter = IncidentFilter::from_query(&query, now)?;
    let order = Order::parse(query.get("order")?)?;
    let limit = query.number("limit", 1, 1000, 100)?;
    let offset = query.number("offset", 0, MAX_ID, 0)?;
    let total = query.boolean("total", true)?;
    let start = match query.get("cursor")? {
        None => PageStart::Offset(offset),
        Some(_) if offset > 0 => return Err(Invalid::wrong("cursor", "and an offset must not both be given")),
        Some(cursor) => PageStart::After(Cursor::decode(cursor, &filter, order)?),
    };
    query.end()?;
    Ok(ListIncidents { filter, order, limit, start, total })
}
