//! `GET /api/v1/incidents/{id}/similar`

use super::counted;
use super::search_incidents::find;
use crate::extract::{admit_read, id_of, path_id};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use data_storage_actors::domain::filter::{IncidentFilter, filters};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::search::{
    About, DEFAULT_LIMIT, Search, as_of, collapse, half_life, include, min_similarity,
};

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let search = parse(&request, (state.clock)()).map_err(|invalid| counted(&state, invalid))?;
    Ok(HttpResponse::Ok().json(find(&state, search).await?))
}

fn parse(request: &HttpRequest, now: DateTime<Utc>) -> Result<Search, Invalid> {
    let about = About::Incident(path_id(request)?);
    let known: Vec<&'static str> =
        [filters(), &["limit", "min_similarity", "half_life", "as_of", "include", "collapse", "explain"]].concat();
    let query = Parameters::parse(request.query_string(), &known);
    let filter = IncidentFilter::from_query(&query, now)?;
    let limit = query.number("limit", 1, 100, 10)?;
    let search = Search {
        about,
        filter,
        limit: usize::try_from(limit).unwrap_or(DEFAULT_LIMIT),
        min_similarity: query.get("min_similarity")?.map(min_similarity).transpose()?,
        half_life: query.get("half_life")?.map(half_life).transpose()?,
        as_of: query.get("as_of")?.map(|text| as_of(&text.replace(' ', "+"))).transpose()?,
        include_text: query.get("include")?.map(include).transpose()?.unwrap_or_default(),
        collapse: query.get("collapse")?.map(collapse).transpose()?.unwrap_or_default(),
        explain: query.get("explain")?.map(|id| id_of("explain", id)).transpose()?,
    };
    query.end()?;
    Ok(search)
}
