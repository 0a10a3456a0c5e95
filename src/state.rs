//! What the routes share.

use crate::actors::Actors;
use crate::config::McpConfig;
use crate::config::Sampler;
use crate::connection::Multiplexed;
use crate::health::Health;
use crate::middleware::cors::CorsOrigins;
use data_storage_actors::auth::RateLimit;
use data_storage_actors::domain::time::{Clock, TimeWindow};
use data_storage_actors::embedder::Spaces;
use data_storage_actors::metrics::Metrics;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

pub struct AppState {
    pub actors: Actors,
    pub metrics: Metrics,
    pub clock: Clock,
    pub window: TimeWindow,
    pub max_body_bytes: usize,
    /// Memory that all bodies together may take, in KiB, and how long a body waits for its share.
    pub body_room: Semaphore,
    pub permit_wait: Duration,
    /// Turns for putting answers of up to 16 MiB together.
    pub assembly: Arc<Semaphore>,
    /// Memory that all long answers together may take, in KiB.
    pub answer_room: Arc<Semaphore>,
    /// How long a request may take, from its head to its answer.
    pub request_deadline: Duration,
    /// Which embedders' vectors are written and searched; `None` if there is no embedder.
    pub spaces: Option<Spaces>,
    pub recurrence_window: Duration,
    /// Whether reads need a token. If they do not, `open_reads` limits how often a peer may read.
    pub auth_reads: bool,
    pub open_reads: Option<RateLimit<IpAddr>>,
    /// Origins whose pages may use the service.
    pub cors: CorsOrigins,
    /// Who may use `/mcp`; `None` if it is taken away.
    pub mcp: Option<McpConfig>,
    /// Whether people may look at `/console/`.
    pub console: bool,
    /// Which requests are traced; `None` where none are.
    pub sampler: Option<Sampler>,
    pub health: Arc<Health>,
    /// Set by SIGTERM: clients are to go elsewhere, and are served until they have.
    pub leaving: AtomicBool,
    /// Set when `SHUTDOWN_DELAY` is over: new requests are turned away.
    pub draining: AtomicBool,
    /// Requests that are being answered.
    pub in_flight: AtomicUsize,
    /// The connections that speak HTTP/2.
    pub multiplexed: Multiplexed,
    /// Notified when a draining service has answered its last request.
    pub idle: Notify,
}
