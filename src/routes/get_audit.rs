//! `GET /api/v1/audits/{auditID}`

use super::{counted, missing, revisable, shortened};
use crate::extract::{admit_read, path_name};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use data_storage_actors::domain::audit_id::AuditId;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::query::GetAudit;

pub async fn handle(state: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    admit_read(&state, &request).await?;
    let name = path_name(&request).and_then(|name| Parameters::parse(request.query_string(), &[]).end().map(|()| name));
    let name = name.map_err(|invalid| counted(&state, invalid))?;
    // A text that is no audit id names no audit.
    let none = || format!("audit {}", shortened(&name));
    let id: AuditId = name.parse().map_err(|_| Problem::missing(none()))?;
    let audit = state.actors.query.read(GetAudit { id }).await.map_err(missing(none()))?;
    Ok(revisable(HttpResponse::Ok().json(audit)))
}
