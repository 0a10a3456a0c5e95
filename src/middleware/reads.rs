//! Counts the reads.

use actix_web::http::StatusCode;
use data_storage_actors::metrics::{Metrics, OPERATIONS};
use std::time::Duration;

/// The reads, as they are called in the metrics, by their paths.
const READS: [(&str, &str); OPERATIONS.len()] = [
    ("/api/v1/incidents", "list_incidents"),
    ("/api/v1/incidents/{id}", "get_incident"),
    ("/api/v1/incidents/{id}/timeline", "timeline"),
    ("/api/v1/incidents/{id}/similar", "similar_incidents"),
    ("/api/v1/incidents/search", "search_incidents"),
    ("/api/v1/incidents/facets", "facets"),
    ("/api/v1/stats/success-rate", "success_rate"),
    ("/api/v1/stats/counts", "counts"),
    ("/api/v1/audits", "list_audits"),
    ("/api/v1/audits/{id}", "get_audit"),
    ("/api/v1/workflows", "list_workflows"),
    ("/api/v1/workflows/{id}/steps", "list_steps"),
];

/// Counts a read: an answer is a success, a fault of the service or around it a failure, and what a client did is neither.
pub fn count_read(metrics: &Metrics, route: &str, status: StatusCode, time: Duration) {
    let Some((_, operation)) = READS.iter().find(|(path, _)| *path == route) else { return };
    let result = match status {
        status if status.is_client_error() => return,
        status if status.is_server_error() => "failure",
        _ => "success",
    };
    metrics.query_total.with_label_values(&[operation, result]).inc();
    metrics.query_duration_seconds.with_label_values(&[operation]).observe(time.as_secs_f64());
}
