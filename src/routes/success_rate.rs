//! `GET /api/v1/stats/success-rate`

use super::counted;
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::filter::{FILTERS, IncidentFilter};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::{Dimension, GetSuccessRate, SuccessRate};
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
    let group_by = message.group_by.iter().map(|dimension| dimension.name()).collect();
    let rates = state.actors.query.read(message).await?;
    Ok(HttpResponse::Ok().json(Body { data: rates.groups, group_by, has_more: rates.more }))
}

fn parse(request: &HttpRequest, recurrence_window: Duration) -> Result<GetSuccessRate, Invalid> {
    let known: Vec<&'static str> = [&["group_by"], FILTERS, &["limit"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let group_by = dimensions(query.get("group_by")?.unwrap_or("alert_name,action_type"))?;
    let filter = IncidentFilter::from_query(|name| query.get(name))?;
    let limit = query.number("limit", 1, 1000, 100)?;
    query.end()?;
    Ok(GetSuccessRate { filter, group_by, limit, recurrence_window })
}

fn dimensions(text: &str) -> Result<Vec<Dimension>, Invalid> {
    let mut group_by = Vec::new();
    for name in text.split(',') {
        match Dimension::ALL.into_iter().find(|dimension| dimension.name() == name.trim()) {
            Some(dimension) if !group_by.contains(&dimension) => group_by.push(dimension),
            Some(_) => return Err(Invalid::wrong("group_by", "names a dimension twice")),
            None => {
                let known = "must be a list of alert_name, severity, action_type, namespace and cluster";
                return Err(Invalid::wrong("group_by", known));
            }
        }
    }
    Ok(group_by)
}
