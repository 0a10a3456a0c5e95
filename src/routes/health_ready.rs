//! `GET /health/ready`: whether clients should send requests to this replica.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use std::sync::atomic::Ordering;

pub async fn handle(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let not_ready = |why| Err(Problem::new(ProblemKind::ServiceUnavailable, why));
    if state.leaving.load(Ordering::Relaxed) {
        return not_ready("The service is stopping");
    }
    if !state.health.audit_migrated.load(Ordering::Relaxed) {
        return not_ready("The audit database has not been reached yet");
    }
    if !state.health.is_ready() {
        return not_ready("Neither the write nor the read database answers");
    }
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}
