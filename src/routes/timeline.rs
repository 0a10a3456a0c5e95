//! `GET /api/v1/incidents/{id}/timeline`

use super::{counted, missing, revisable};
use crate::extract::{admit_read, assembly, path_id};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::GetTimeline;

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let id = path_id(&request).and_then(|id| Parameters::parse(request.query_string(), &[]).end().map(|()| id));
    let id = id.map_err(|invalid| counted(&state, invalid))?;
    let turn = assembly(&state).await?;
    let timeline = state.actors.query.read(GetTimeline { id }).await.map_err(missing(format_args!("incident {id}")))?;
    let mut answer = HttpResponse::Ok().json(timeline);
    answer.extensions_mut().insert(turn);
    Ok(revisable(answer))
}
