//! `GET /health`: the state of each part, for people and dashboards. Always 200.

use crate::health::PartState;
use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

pub async fn handle(state: Data<AppState>) -> HttpResponse {
    let health = &state.health;
    let databases = [
        health.write_database.get(),
        health.read_database.get(),
        health.vector_write_database.get(),
        health.vector_read_database.get(),
    ];
    let migrated = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
    let (audit, vector) = (migrated(&health.audit_migrated), migrated(&health.vector_migrated));
    let draining = state.draining.load(Ordering::Relaxed);
    let ok = databases.iter().all(|part| *part == PartState::Up) && audit && vector && !draining;
    let [write, read, vector_write, vector_read] = databases;
    HttpResponse::Ok().json(json!({
        "status": if ok { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "draining": draining,
        "parts": {
            "write_database": {"state": write, "migrated": audit},
            "read_database": {"state": read},
            "vector_write_database": {"state": vector_write, "migrated": vector},
            "vector_read_database": {"state": vector_read},
            "outbox": {
                "rows": state.metrics.outbox_rows.get(),
                "lag_seconds": state.metrics.outbox_lag_seconds.get(),
            },
            "embedder": embedder(&state),
        },
    }))
}

/// Which embedder's vectors are searched, and which embedder is configured.
fn embedder(state: &AppState) -> Value {
    match &state.spaces {
        None => json!({"id": "off", "configured": "off", "reindex_needed": false}),
        Some(spaces) => {
            let configured = &spaces.configured().id;
            let active = spaces.active().unwrap_or_else(|| configured.clone());
            json!({"id": active, "configured": configured, "reindex_needed": active != *configured})
        }
    }
}
