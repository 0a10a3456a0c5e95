//! `GET /health/live`: whether every actor answers. This check never waits for a database.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

pub async fn handle(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    if state.actors.are_alive().await {
        Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
    } else {
        Err(Problem::new(ProblemKind::ServiceUnavailable, "An actor does not answer"))
    }
}
