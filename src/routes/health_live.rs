//! `GET /health/live`: every actor answers. It never waits for a database.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

pub async fn handle(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let actors = &state.actors;
    let (auth, pg_writer, vector_writer, query, similarity, embedder) = tokio::join!(
        actors.auth.handle.is_alive(PATIENCE),
        actors.pg_writer.is_alive(PATIENCE),
        actors.vector_writer.is_alive(PATIENCE),
        actors.query.is_alive(PATIENCE),
        actors.similarity.is_alive(PATIENCE),
        actors.embedder.is_alive(PATIENCE),
    );
    if auth && pg_writer && vector_writer && query && similarity && embedder {
        Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
    } else {
        Err(Problem::new(ProblemKind::ServiceUnavailable, "An actor does not answer"))
    }
}
