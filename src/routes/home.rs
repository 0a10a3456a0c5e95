//! `GET /`: a browser is led to the reference, others to what there is.

use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

pub async fn handle(request: HttpRequest) -> HttpResponse {
    let wants_page = |accepted: &str| accepted.split(',').any(|kind| kind.trim().starts_with("text/html"));
    if request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).is_some_and(wants_page) {
        return HttpResponse::Found().insert_header((LOCATION, "/docs")).finish();
    }
    HttpResponse::Ok().json(json!({
        "name": "data-storage",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "document": "/openapi.json",
            "document_3_0": "/openapi-3.0.json",
            "reference": "/docs",
            "incidents": "/api/v1/incidents",
            "search": "/api/v1/incidents/search",
            "agents": "/mcp",
            "health": "/health",
        },
    }))
}
