//! One file for each operation. A handler parses, sends one message to one actor, and maps the reply.

mod asset;
mod console;
mod counts;
#[cfg(debug_assertions)]
mod debug_panic;
mod docs;
mod document;
mod facets;
mod get_audit;
mod get_incident;
mod health;
mod health_live;
mod health_ready;
mod home;
mod list_audits;
mod list_incidents;
mod list_steps;
mod list_workflows;
pub mod search_incidents;
mod similar_incidents;
mod success_rate;
mod timeline;
mod walk;
mod write_remediation_audit;
mod write_workflow_audit;

use crate::json_rpc;
use crate::mcp;
use crate::middleware::answer::{NextPage, Revisable};
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::guard::{Any, Get, Head, Post};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::error::ActorError;
use data_storage_actors::pg_writer::Written;
use serde::Serialize;
use std::fmt;

/// All paths of the REST API and health.
pub fn configure(app: &mut web::ServiceConfig) {
    app.service(post("/api/v1/audit/remediation", web::to(write_remediation_audit::handle)))
        .service(post("/api/v1/audit/workflow", web::to(write_workflow_audit::handle)))
        .service(get("/api/v1/incidents", web::to(list_incidents::handle)))
        .service(post("/api/v1/incidents/search", web::to(search_incidents::handle)))
        .service(get("/api/v1/incidents/facets", web::to(facets::handle)))
        .service(get("/api/v1/incidents/{id}/similar", web::to(similar_incidents::handle)))
        .service(get("/api/v1/incidents/{id}/timeline", web::to(timeline::handle)))
        .service(get("/api/v1/stats/success-rate", web::to(success_rate::handle)))
        .service(get("/api/v1/stats/counts", web::to(counts::handle)))
        .service(get("/api/v1/incidents/{id}", web::to(get_incident::handle)))
        .service(get("/api/v1/audits", web::to(list_audits::handle)))
        .service(get("/api/v1/workflows", web::to(list_workflows::handle)))
        .service(get("/api/v1/audits/{id}", web::to(get_audit::handle)))
        .service(get("/api/v1/workflows/{id}/steps", web::to(list_steps::handle)))
        .configure(configure_health)
        .service(get("/", web::to(home::handle)))
        .service(get("/openapi.json", web::to(document::newer)))
        .service(get("/openapi-3.0.json", web::to(document::older)))
        .service(post(json_rpc::PATH, web::to(mcp::handle)))
        .default_service(web::to(nothing));
    for service in docs::services().into_iter().chain(console::services()) {
        app.service(service);
    }
}

/// The path that only tests use: `POST /debug/panic/{actor}`. Release builds do not have it.
#[cfg(debug_assertions)]
pub fn configure_debug(app: &mut web::ServiceConfig) {
    app.route("/debug/panic/{actor}", web::post().to(debug_panic::handle));
}

#[cfg(not(debug_assertions))]
pub fn configure_debug(_: &mut web::ServiceConfig) {}

/// The health paths alone.
pub fn configure_health(app: &mut web::ServiceConfig) {
    app.service(get("/health", web::to(health::handle)))
        .service(get("/health/live", web::to(health_live::handle)))
        .service(get("/health/ready", web::to(health_ready::handle)));
}

async fn nothing(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::missing(format_args!("path {}", shortened(request.path()))))
}

/// What a client asked for, short enough to be said back.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(at, _)| &text[..at])
}

/// Names what is not there.
fn missing(what: impl fmt::Display) -> impl FnOnce(ActorError) -> Problem {
    move |error| match error {
        ActorError::NotFound => Problem::missing(what),
        error => error.into(),
    }
}

/// Lets clients ask again by the `ETag`.
fn revisable(mut answer: HttpResponse) -> HttpResponse {
    answer.extensions_mut().insert(Revisable);
    answer
}

/// A page of a list: its head may be asked for again by the `ETag`, and its `Link` leads on.
fn page(answer: HttpResponse, is_head: bool, next: Option<String>) -> HttpResponse {
    let mut answer = if is_head { revisable(answer) } else { answer };
    if let Some(next) = next {
        answer.extensions_mut().insert(NextPage(next));
    }
    answer
}

pub fn get(path: &str, handler: Route) -> Resource {
    resource(path, "GET, HEAD", handler.guard(Any(Get()).or(Head())))
}

fn post(path: &str, handler: Route) -> Resource {
    resource(path, "POST", handler.guard(Post()))
}

/// A path with one operation. The answer to another method names the allowed ones.
fn resource(path: &str, allow: &'static str, handler: Route) -> Resource {
    web::resource(path)
        .route(handler)
        .default_service(web::to(move || async move { Err::<HttpResponse, _>(Problem::method_not_allowed(allow)) }))
}

/// Counts a fault of a request, and turns it into a `Problem`.
fn counted(state: &AppState, invalid: Invalid) -> Problem {
    let field = match &invalid.field {
        Some(field) if invalid.named => field.as_ref(),
        _ => "other",
    };
    state.metrics.validation_failures_total.with_label_values(&[field, invalid.reason.as_str()]).inc();
    invalid.into()
}

/// Like [`counted`], for a fault that an actor finds.
fn refused(state: &AppState, error: ActorError) -> Problem {
    match error {
        ActorError::Invalid(invalid) => counted(state, invalid),
        error => error.into(),
    }
}

/// The answer to a POST.
#[derive(Serialize)]
struct Persisted {
    #[serde(rename = "auditID")]
    audit_id: String,
    status: &'static str,
}

/// The 201; for a replay with the header `Idempotent-Replayed`.
fn persisted(written: Written) -> HttpResponse {
    let mut response = HttpResponse::Created();
    if written.replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.json(Persisted { audit_id: written.id.to_string(), status: "persisted" })
}
