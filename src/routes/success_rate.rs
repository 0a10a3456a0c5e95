//! `GET /api/v1/stats/success-rate`

use super::counted;
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::facts::{Fact, counted as counted_facts};
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::{GetSuccessRate, SuccessRate};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Body {
    data: Vec<SuccessRate>,
    group_by: Vec<&'static str>,
    has_more: bool,
}

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, state.recurrence_window).map_err(|invalid| counted(&state, invalid))?;
    let group_by = message.group_by.iter().filter_map(|fact| fact.filter).collect();
    let rates = state.actors.query.read(message).await?;
    Ok(HttpResponse::Ok().json(Body { data: rates.groups, group_by, has_more: rates.more }))
}

fn parse(request: &HttpRequest, recurrence_window: Duration) -> Result<GetSuccessRate, Invalid> {
    let known: Vec<&'static str> = [&["group_by"], filters(), &["limit"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let group_by = facts(query.get("group_by")?.unwrap_or("alert_name,action_type"))?;
    let filter = IncidentFilter::from_query(|name| query.get(name))?;
    let limit = query.number("limit", 1, 1000, 100)?;
    query.end()?;
    Ok(GetSuccessRate { filter, group_by, limit, recurrence_window })
}

fn facts(text: &str) -> Result<Vec<&'static Fact>, Invalid> {
    let mut group_by: Vec<&'static Fact> = Vec::new();
    for name in text.split(',') {
        match counted_facts().find(|fact| fact.filter == Some(name.trim())) {
            Some(fact) if group_by.iter().all(|known| known.column != fact.column) => group_by.push(fact),
            Some(_) => return Err(Invalid::wrong("group_by", "names a dimension twice")),
            None => {
                let known: Vec<&str> = counted_facts().filter_map(|fact| fact.filter).collect();
                let known = format!("must be a list of these: {}", known.join(", "));
                return Err(Invalid::wrong("group_by", known));
            }
        }
    }
    Ok(group_by)
}
