//! `GET /api/v1/incidents/facets`

use super::{counted, revisable};
use crate::extract::admit_read;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::facts::{Fact, copied};
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::{Facet, GetFacets};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Body {
    /// By the names of the fields.
    data: BTreeMap<&'static str, Facet>,
}

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let message = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    let facets = state.actors.query.read(message).await?;
    let data = facets.into_iter().filter_map(|facet| Some((facet.fact.filter?, facet))).collect();
    Ok(revisable(HttpResponse::Ok().json(Body { data })))
}

fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<GetFacets, Invalid> {
    let known: Vec<&'static str> = [&["fields"], filters()].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let fields = match query.get("fields")? {
        None => copied().collect(),
        Some(list) => fields(list)?,
    };
    let filter = IncidentFilter::from_query(&query, now)?;
    query.end()?;
    Ok(GetFacets { filter, fields })
}

fn fields(list: &str) -> Result<Vec<&'static Fact>, Invalid> {
    let mut fields: Vec<&'static Fact> = Vec::new();
    for name in list.split(',').map(str::trim) {
        match copied().find(|fact| fact.filter == Some(name)) {
            Some(fact) if fields.iter().any(|known| known.column == fact.column) => {}
            Some(fact) => fields.push(fact),
            None => {
                let known: Vec<&str> = copied().filter_map(|fact| fact.filter).collect();
                let known = format!("must be a list of these: {}", known.join(", "));
                return Err(Invalid::wrong("fields", known));
            }
        }
    }
    Ok(fields)
}
