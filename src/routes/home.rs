//! `GET /`: a browser is led to the console, or to the reference where there is none; others to what there is.

use crate::state::AppState;
use actix_web::http::header::{ACCEPT, LOCATION, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

pub async fn handle(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let wants_page = |accepted: &str| accepted.split(',').any(|kind| kind.trim().starts_with("text/html"));
    if request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).is_some_and(wants_page) {
        let page = if state.console { "/console/" } else { "/docs" };
        return HttpResponse::Found().insert_header((VARY, "accept")).insert_header((LOCATION, page)).finish();
    }
    let mut links = json!({
        "document": "/openapi.json",
        "document_3_0": "/openapi-3.0.json",
        "reference": "/docs",
        "incidents": "/api/v1/incidents",
        "search": "/api/v1/incidents/search",
        "health": "/health",
    });
    if state.mcp.is_some() {
        links["agents"] = "/mcp".into();
    }
    if state.console {
        links["console"] = "/console/".into();
    }
    HttpResponse::Ok().insert_header((VARY, "accept")).json(json!({
        "name": "data-storage",
        "version": env!("CARGO_PKG_VERSION"),
        "links": links,
    }))
}
