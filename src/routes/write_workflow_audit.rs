//! `POST /api/v1/audit/workflow`

use super::{counted, persisted, refused};
use crate::extract::{authorize, json_body, receipt};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::identity::Access;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::workflow::WorkflowAudit;
use data_storage_actors::pg_writer::WriteWorkflowAudit;

pub async fn handle(state: Data<AppState>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let identity = authorize(&state, &request, Access::WriteWorkflow).await?;
    // `_room` is held to the end: it is this body's share of the memory of all bodies.
    let (body, _room) = json_body(&state, &request, payload).await?;
    let audit = Parameters::parse(request.query_string(), &[])
        .end()
        .and_then(|()| receipt(&state, &request, &identity))
        .and_then(|receipt| WorkflowAudit::parse(&body, &receipt))
        .map_err(|invalid| counted(&state, invalid))?;
    let message = WriteWorkflowAudit { audit: Box::new(audit), bytes: body.len() };
    drop(body);
    let written = state.actors.pg_writer.call(message).await.map_err(|error| refused(&state, error))?;
    Ok(persisted(written))
}
