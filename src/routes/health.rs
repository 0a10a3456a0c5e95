//! `GET /health`: the state of each part, for people and dashboards. Always 200.

use crate::health::{Part, PartState};
use crate::state::AppState;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

pub async fn handle(state: Data<AppState>) -> HttpResponse {
    let health = &state.health;
    let databases =
        [&health.write_database, &health.read_database, &health.vector_write_database, &health.vector_read_database];
    let migrated = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
    let (audit, vector) = (migrated(&health.audit_migrated), migrated(&health.vector_migrated));
    let draining = state.leaving.load(Ordering::Relaxed);
    let ok = databases.iter().all(|part| part.get() == PartState::Up) && audit && vector && !draining;
    let others = [("kubernetes_api", &health.kubernetes_api), ("database_nodes", &health.database_nodes)];
    let others = others.map(|(name, part)| Some((name, part.as_ref()?)));
    let ok = ok && others.iter().flatten().all(|(_, part)| part.get() == PartState::Up);
    let [write, read, vector_write, vector_read] = databases.map(part);
    let mut answer = json!({
        "status": if ok { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "draining": draining,
        "parts": {
            "write_database": with(write, audit),
            "read_database": read,
            "vector_write_database": with(vector_write, vector),
            "vector_read_database": vector_read,
            "outbox": {
                "rows": state.metrics.outbox_rows.get(),
                "lag_seconds": state.metrics.outbox_lag_seconds.get(),
            },
            "embedder": embedder(&state),
        },
    });
    for (name, other) in others.into_iter().flatten() {
        answer["parts"][name] = part(other);
    }
    HttpResponse::Ok().json(answer)
}

/// The state of a part, and where it is not up the reason.
fn part(part: &Part) -> Value {
    match part.read() {
        (state, None) => json!({"state": state}),
        (state, Some(reason)) => json!({"state": state, "reason": reason}),
    }
}

fn with(mut part: Value, migrated: bool) -> Value {
    part["migrated"] = migrated.into();
    part
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
