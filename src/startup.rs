//! Builds the service, and runs it: two steps, so that a test or a command can do the first alone.

use crate::actors::Actors;
use crate::config::{CONNECTIONS_CEILING, Config, DatabaseConfigs};
use crate::connection::{self, Multiplexed};
use crate::health::{Health, Part};
use crate::mcp;
use crate::middleware::request::{normal, plain, request};
use crate::migrations::{migrate_audit, migrate_vector, refused};
use crate::recent_attempts;
use crate::routes;
use crate::state::AppState;
use crate::systemd;
use crate::tls::Tls;
use crate::traces::Exporting;
use actix::Arbiter;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use actix_web_prom::PrometheusMetricsBuilder;
use data_storage_actors::auth::{AccessRules, AuthSettings, RateLimit, TokenSource};
use data_storage_actors::db::store_identity::{Side, StoreIdentity};
use data_storage_actors::domain::time::system_clock;
use data_storage_actors::embedder::Spaces;
use data_storage_actors::metrics::{Metrics, SECONDS};
use data_storage_actors::pg_writer::Drain;
use data_storage_actors::retention::retain;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Registry, TextEncoder};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("LISTEN_ADDR: {0} cannot be bound: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("METRICS_ADDR: {0} cannot be bound: {1}")]
    MetricsListen(SocketAddr, std::io::Error),
    #[error("TLS_CERT_FILE: {0}")]
    Tls(String),
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Traces(String),
    #[error("metrics cannot be registered: {0}")]
    Metrics(String),
}

/// A service that is ready to run: its actors live, its sockets are bound.
pub struct Application {
    server: Server,
    tls: Option<Tls>,
    metrics_server: Server,
    address: SocketAddr,
    metrics_address: SocketAddr,
    state: web::Data<AppState>,
    databases: DatabaseConfigs,
    stopping: watch::Sender<bool>,
    identity: StoreIdentity,
    exporting: Option<Exporting>,
    /// How long requests are still served after the signal to stop, and how long after that what was begun may take.
    delay: Duration,
    grace: Duration,
    /// Connections that the pools may open, all together.
    connections: u32,
    /// The threads that the actors live on.
    arbiters: Vec<Arbiter>,
}

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const FORGET: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Memory that bodies in flight may take, all together.
const BODIES_KIB: usize = 128 * 1024;
/// What is left of the grace for pools and a private database to close.
const LAST_SECONDS: Duration = Duration::from_secs(2);
/// How long the last answers have to leave before idle connections of HTTP/2 are ended.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the last spans of traces may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// What the queue is given at least, where requests have used up the grace.
const LAST_FLUSH: Duration = Duration::from_millis(500);

impl Application {
    /// Starts the actors and binds the sockets. Databases are not waited for.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn build(config: &Config, databases: DatabaseConfigs, tokens: TokenSource) -> Result<Self, StartError> {
        if config.pools.sum() > CONNECTIONS_CEILING {
            let sum = config.pools.sum();
            tracing::warn!(sum, ceiling = CONNECTIONS_CEILING, "the pools may open more connections than they should");
        }
        let registry = Registry::new();
        let metrics = register(&registry).map_err(|error| StartError::Metrics(error.to_string()))?;
        let (stopping, _) = watch::channel(false);
        let clock = system_clock();
        let auth = auth_settings(config, tokens);
        let spaces = config.embedder.space().map(Spaces::new);
        let identity = StoreIdentity::default();
        let expected = DatabaseConfigs {
            write: databases.write.clone().expecting(&identity, Side::Audit),
            read: databases.read.clone().expecting(&identity, Side::Audit),
            vector: databases.vector.clone().expecting(&identity, Side::Vector),
        };
        let (actors, arbiters) = Actors::start(config, &expected, auth, spaces.clone(), &metrics, &clock, &stopping);
        let state = web::Data::new(AppState {
            actors,
            metrics,
            clock,
            window: config.window,
            max_body_bytes: config.max_body_bytes,
            body_room: Semaphore::new((config.max_body_bytes / 1024 + 1).max(BODIES_KIB)),
            permit_wait: config.permit_wait,
            request_deadline: config.request_deadline,
            assembly: Arc::new(Semaphore::new(connection::ASSEMBLED_AT_ONCE)),
            answer_room: Arc::new(Semaphore::new(connection::ROOM_KIB)),
            spaces,
            recurrence_window: config.recurrence_window,
            auth_reads: config.auth.reads,
            open_reads: RateLimit::new(config.auth.open_reads_per_peer, "Too many reads", "peer"),
            cors: config.cors.clone(),
            console: config.console,
            mcp: config.mcp.clone(),
            sampler: config.traces.as_ref().map(|traces| traces.sampler),
            health: Arc::new(Health {
                kubernetes_api: config.auth.cluster.as_ref().map(|_| Part::default()),
                database_nodes: databases.write.distribution().map(|_| Part::default()),
                ..Health::default()
            }),
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            multiplexed: Multiplexed::default(),
            idle: Notify::new(),
        });
        let exporting = match &config.traces {
            Some(traces) => {
                let counts = state.metrics.trace_spans_total.clone();
                Some(Exporting::start(traces, counts).map_err(StartError::Traces)?)
            }
            None => None,
        };
        let tls = config.tls.clone().map(Tls::load).transpose().map_err(StartError::Tls)?;
        let (server, address) = serve_api(config, &state, &registry, tls.as_ref())?;
        let (metrics_server, metrics_address) = serve_metrics(config.metrics_addr, registry, state.clone())?;
        Ok(Application {
            server,
            tls,
            metrics_server,
            address,
            metrics_address,
            state,
            databases,
            identity,
            stopping,
            exporting,
            delay: config.shutdown_delay,
            grace: config.shutdown_grace,
            connections: config.pools.sum(),
            arbiters,
        })
    }

    /// Where the REST API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready. Goes on for `SHUTDOWN_DELAY`, or until `stop` is ready a second time, so that clients see that this
    /// replica is not ready and go elsewhere. Then drains: requests in flight finish, and what is queued is committed. `on_ready` is called
    /// once, when the audit database is migrated. Returns when the grace ends.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn run(self, mut stop: impl AsyncFnMut(), on_ready: impl FnOnce() + 'static) -> std::io::Result<Instant> {
        tracing::info!(listen_addr = %self.address, metrics_addr = %self.metrics_address, "listening");
        let (health, actors) = (self.state.health.clone(), self.state.actors.clone());
        let (databases, clock, connections) = (self.databases.clone(), self.state.clock.clone(), self.connections);
        let identity = self.identity;
        let audit =
            migrate_audit(databases.clone(), health.clone(), clock.clone(), connections, identity.clone(), on_ready);
        let vector = migrate_vector(databases.vector, health.clone(), clock, identity);
        let (audit, vector) = (actix::spawn(audit), actix::spawn(vector));
        actix::spawn(async move { health.watch(&actors).await });
        if let Some(tls) = self.tls {
            actix::spawn(tls.watch(self.state.metrics.tls_certificate_expiry_timestamp_seconds.clone()));
        }
        let (pg_writer, vector_writer) = (self.state.actors.pg_writer.clone(), self.state.actors.vector_writer.clone());
        actix::spawn(retain(self.state.window, self.state.clock.clone(), pg_writer, vector_writer));
        actix::spawn(systemd::beat(self.state.clone()));
        actix::spawn(forget_idle_readers(self.state.clone()));
        actix::spawn(recent_attempts::count(self.state.clone()));
        let (api, metrics) = (self.server.handle(), self.metrics_server.handle());
        let api_server = actix::spawn(self.server);
        actix::spawn(self.metrics_server);
        tokio::select! {
            () = stop() => {}
            ended = api_server => return ended.unwrap_or(Ok(())).map(|()| Instant::now()),
            refusal = refused(audit, vector) => return Err(std::io::Error::other(refusal)),
        }
        systemd::stopping();
        self.state.leaving.store(true, Ordering::SeqCst);
        if !self.delay.is_zero() {
            tracing::info!(delay_seconds = self.delay.as_secs_f64(), "stopping after the delay");
            // Out of time is as good as the second signal.
            let _ = timeout(self.delay, stop()).await;
        }
        let until = Instant::now() + self.grace;
        // Actors that end from now on are meant to.
        self.stopping.send_replace(true);
        drain(&self.state, &api, until - (self.grace / 4).min(LAST_SECONDS)).await;
        metrics.stop(false).await;
        if let Some(exporting) = self.exporting {
            exporting.stop(until.min(Instant::now() + LAST_SPANS)).await;
        }
        for arbiter in self.arbiters {
            arbiter.stop();
            // An arbiter that panicked has nothing left to wait for.
            let _ = arbiter.join();
        }
        tracing::info!("stopped");
        Ok(until)
    }
}

/// Every metric: the service's own, what it is, and those of its process.
fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
    let metrics = Metrics::register(registry)?;
    registry.register(Box::new(ProcessCollector::for_self()))?;
    metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("DATA_STORAGE_COMMIT")]).set(1);
    mcp::begin_metrics(&metrics);
    Ok(metrics)
}

fn auth_settings(config: &Config, tokens: TokenSource) -> AuthSettings {
    let auth = &config.auth;
    if let (true, AccessRules::Lists(lists)) = (auth.reads, &auth.access)
        && lists.readers.is_empty()
    {
        tracing::warn!("AUTH_READS is true and READERS names nobody: nobody may read");
    }
    AuthSettings {
        tokens,
        access: auth.access.clone(),
        cluster: auth.cluster.clone(),
        times: auth.times,
        review_concurrency: auth.review_concurrency,
        reviews_per_peer: auth.reviews_per_peer,
        requests_per_identity: auth.requests_per_identity,
    }
}

/// Forgets the peers of open reads that have not been here for a while.
async fn forget_idle_readers(state: web::Data<AppState>) {
    while let Some(limit) = &state.open_reads {
        sleep(FORGET).await;
        limit.forget_idle();
    }
}

/// Answers what has been asked, commits what is queued.
async fn drain(state: &web::Data<AppState>, server: &ServerHandle, until: Instant) {
    state.draining.store(true, Ordering::SeqCst);
    tracing::info!(in_flight = state.in_flight.load(Ordering::SeqCst), "draining");
    let idle = async {
        while state.in_flight.load(Ordering::SeqCst) > 0 {
            state.idle.notified().await;
        }
    };
    if timeout_at(until, idle).await.is_err() {
        tracing::warn!("requests were still in flight at the end of the grace");
    }
    // What has been answered may still be on its way to a slow client.
    let stopped = server.stop(true);
    tokio::pin!(stopped);
    if timeout_at(until.min(Instant::now() + SETTLE), &mut stopped).await.is_err() {
        state.multiplexed.end();
        if timeout_at(until, stopped).await.is_err() {
            server.stop(false).await;
        }
    }
    let left = until.saturating_duration_since(Instant::now()).max(LAST_FLUSH);
    if state.actors.pg_writer.ask(Drain, left).await.is_err() {
        tracing::error!("the write queue was not emptied in time");
    }
}

fn serve_api(
    config: &Config,
    state: &web::Data<AppState>,
    registry: &Registry,
    tls: Option<&Tls>,
) -> Result<(Server, SocketAddr), StartError> {
    let requests = PrometheusMetricsBuilder::new("datastorage")
        .registry(registry.clone())
        .mask_unmatched_patterns("unknown")
        .buckets(SECONDS)
        .build()
        .map_err(|error| StartError::Metrics(error.to_string()))?;
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let state = state.clone();
    connection::allow_files(config.max_connections);
    state.metrics.client_connections_max.set(i64::try_from(config.max_connections).unwrap_or(i64::MAX));
    let (open, multiplexed) = (state.metrics.client_connections.clone(), state.multiplexed.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .wrap(from_fn(request))
            .wrap(requests.clone())
            .wrap(from_fn(normal))
            .configure(routes::configure)
    })
    .workers(workers)
    .max_connections(config.max_connections.div_ceil(workers))
    .keep_alive(KEEP_ALIVE)
    // Else the end of a long answer waits 40 ms for a client that puts its acknowledgements off.
    .tcp_nodelay(true)
    .client_request_timeout(HEAD_TIMEOUT)
    .shutdown_timeout(config.shutdown_grace.as_secs())
    .tls_handshake_timeout(HEAD_TIMEOUT)
    .on_connect(move |connection, data| connection::accept(connection, data, &open, &multiplexed))
    .disable_signals();
    let bound = match tls.map(Tls::server_config).transpose().map_err(|error| StartError::Tls(error.to_string()))? {
        Some(tls) => server.bind_rustls_0_23(config.listen_addr, tls),
        None => server.bind(config.listen_addr),
    };
    let server = bound.map_err(|error| StartError::Listen(config.listen_addr, error))?;
    let address = server.addrs().first().copied().unwrap_or(config.listen_addr);
    Ok((server.run(), address))
}

/// Metrics, and health once more: where clients must show certificates, a platform's probes have none.
fn serve_metrics(
    address: SocketAddr,
    registry: Registry,
    state: web::Data<AppState>,
) -> Result<(Server, SocketAddr), StartError> {
    let server = HttpServer::new(move || {
        let registry = registry.clone();
        App::new()
            .app_data(state.clone())
            .wrap(from_fn(plain))
            .wrap(from_fn(normal))
            .service(routes::get("/metrics", web::to(move || metrics_text(registry.clone()))))
            .configure(routes::configure_health)
            .configure(routes::configure_debug)
    })
    .workers(1)
    .tcp_nodelay(true)
    .disable_signals()
    .bind(address)
    .map_err(|error| StartError::MetricsListen(address, error))?;
    let address = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), address))
}

async fn metrics_text(registry: Registry) -> HttpResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, encoder.format_type())).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
