//! `POST /api/v1/incidents/search`

use super::{counted, refused};
use crate::extract::{admit_read, json_body};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::search::{About, Search};
use data_storage_actors::error::ActorError;
use data_storage_actors::similarity::{FindSimilar, Similar};
use std::sync::atomic::Ordering;

pub async fn handle(state: Data<AppState>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let (body, _room) = json_body(&state, &request, payload).await?;
    let search =
        Parameters::parse(request.query_string(), &[]).end().and_then(|()| Search::parse(&body, (state.clock)()));
    let search = search.map_err(|invalid| counted(&state, invalid))?;
    Ok(HttpResponse::Ok().json(find(&state, search).await?))
}

/// Checks that the vector store is migrated.
pub fn check_store(state: &AppState) -> Result<(), ActorError> {
    if state.spaces.is_some() && !state.health.vector_migrated.load(Ordering::Relaxed) {
        return Err(ActorError::Unavailable("the vector store does not answer"));
    }
    Ok(())
}

/// Searches, once the vector store is migrated.
pub async fn find(state: &AppState, search: Search) -> Result<Similar, Problem> {
    check_store(state)?;
    let about = search.about.clone();
    state.actors.similarity.read(FindSimilar(search)).await.map_err(|error| match (error, about) {
        (ActorError::NotFound, About::Incident(id)) => Problem::missing(format_args!("incident {id}")),
        (error, _) => refused(state, error),
    })
}
