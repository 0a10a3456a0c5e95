//! What the routes share: the handles of the actors, and what the service knows of itself.

use crate::health::Health;
use data_storage_actors::auth::AuthActor;
use data_storage_actors::domain::time::{Clock, TimeWindow};
use data_storage_actors::embedder::EmbedderActor;
use data_storage_actors::handle::Handle;
use data_storage_actors::metrics::Metrics;
use data_storage_actors::pg_writer::PgWriterActor;
use data_storage_actors::query::QueryActor;
use data_storage_actors::similarity::SimilarityActor;
use data_storage_actors::vector_writer::VectorWriterActor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::sync::Notify;

/// A handle for each actor.
#[derive(Clone)]
pub struct Actors {
    pub auth: Handle<AuthActor>,
    pub pg_writer: Handle<PgWriterActor>,
    pub vector_writer: Handle<VectorWriterActor>,
    pub query: Handle<QueryActor>,
    pub similarity: Handle<SimilarityActor>,
    pub embedder: Handle<EmbedderActor>,
}

pub struct AppState {
    pub actors: Actors,
    pub metrics: Metrics,
    pub clock: Clock,
    pub window: TimeWindow,
    pub max_body_bytes: usize,
    /// How long a client may take to send a body.
    pub request_deadline: Duration,
    /// Whether audits are embedded at all.
    pub embed: bool,
    pub health: Arc<Health>,
    /// Set by SIGTERM.
    pub draining: AtomicBool,
    /// Requests that are being answered.
    pub in_flight: AtomicUsize,
    /// Notified when a draining service has answered its last request.
    pub idle: Notify,
}
