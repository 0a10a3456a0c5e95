//! `POST /debug/panic/{actor}`, on the port of the metrics and in debug builds only: makes an actor or the next flush
//! panic.

use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};

pub async fn handle(state: Data<AppState>, actor: Path<String>) -> HttpResponse {
    if state.actors.panic(&actor).await {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound().finish()
    }
}
