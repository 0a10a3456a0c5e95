//! `GET /api/v1/audits`

use super::counted;
use super::walk::{WalkPagination, Walked};
use crate::extract::{admit_read, assembly};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::audit_filter::AuditFilter;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::ListAudits;

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    let (asked, limit, is_head) = (message.filter.fingerprint(), message.limit, message.after.is_none());
    let turn = assembly(&state).await?;
    let page = state.actors.query.read(message).await?;
    let pagination = WalkPagination::new(limit, page.next, asked);
    let next = pagination.next_cursor.clone();
    let mut answer = HttpResponse::Ok().json(Walked { data: page.audits, pagination });
    answer.extensions_mut().insert(turn);
    Ok(super::page(answer, is_head, next))
}

fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<ListAudits, Invalid> {
    let known = [&AuditFilter::NAMES[..], &["limit", "cursor"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let filter = AuditFilter::from_query(&query, now)?;
    let limit = query.number("limit", 1, 1000, 100)?;
    let after = super::walk::after(&query, filter.fingerprint())?;
    query.end()?;
    Ok(ListAudits { filter, limit, after })
}
