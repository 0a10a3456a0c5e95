//! The six actors of the service: each behind its handle, with its pool, on a thread of its own.

use crate::config::{Config, DatabaseConfigs};
use actix::{Actor, Arbiter, ArbiterHandle, SyncArbiter};
use data_storage_actors::auth::{AuthActor, AuthSettings, Gate};
use data_storage_actors::db::DatabaseConfig;
use data_storage_actors::db::pool::PoolSettings;
use data_storage_actors::domain::time::Clock;
use data_storage_actors::embedder::{EmbedderActor, Spaces};
use data_storage_actors::handle::Handle;
use data_storage_actors::metrics::Metrics;
use data_storage_actors::outbox::{CLAIM, Worker};
use data_storage_actors::pg_writer::{OnCommit, PgWriterActor, PgWriterSettings, WriteQueue};
use data_storage_actors::query::QueryActor;
use data_storage_actors::similarity::{SimilarityActor, SimilaritySettings};
use data_storage_actors::supervise::supervise;
use data_storage_actors::vector_writer::{VectorWriterActor, Work, WriteEmbedding};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A handle for each actor.
#[derive(Clone)]
pub struct Actors {
    pub auth: Gate,
    pub pg_writer: Handle<PgWriterActor>,
    pub vector_writer: Handle<VectorWriterActor>,
    pub query: Handle<QueryActor>,
    pub similarity: Handle<SimilarityActor>,
    pub embedder: Handle<EmbedderActor>,
}

/// How long an actor may take to answer that it is alive.
const PATIENCE: Duration = Duration::from_secs(2);

impl Actors {
    /// Whether every actor answers.
    pub async fn are_alive(&self) -> bool {
        let (auth, pg_writer, vector_writer, query, similarity, embedder) = tokio::join!(
            self.auth.handle.is_alive(PATIENCE),
            self.pg_writer.is_alive(PATIENCE),
            self.vector_writer.is_alive(PATIENCE),
            self.query.is_alive(PATIENCE),
            self.similarity.is_alive(PATIENCE),
            self.embedder.is_alive(PATIENCE),
        );
        auth && pg_writer && vector_writer && query && similarity && embedder
    }

    /// Has one of them panic, or the next flush, by its name; whether there is one of that name.
    #[cfg(debug_assertions)]
    pub async fn panic(&self, name: &str) -> bool {
        use data_storage_actors::handle::Panic;
        let reply = match name {
            "auth" => self.auth.handle.ask(Panic, PATIENCE).await,
            "pg_writer" => self.pg_writer.ask(Panic, PATIENCE).await,
            "vector_writer" => self.vector_writer.ask(Panic, PATIENCE).await,
            "query" => self.query.ask(Panic, PATIENCE).await,
            "similarity" => self.similarity.ask(Panic, PATIENCE).await,
            "embedder" => self.embedder.ask(Panic, PATIENCE).await,
            "flush" => {
                data_storage_actors::pg_writer::PANIC_IN_FLUSH.store(true, std::sync::atomic::Ordering::SeqCst);
                return true;
            }
            _ => return false,
        };
        reply.is_err()
    }

    /// Starts each actor behind its handle, and those that are not threads themselves on a thread each.
    pub fn start(
        config: &Config,
        databases: &DatabaseConfigs,
        auth: AuthSettings,
        spaces: Option<Spaces>,
        metrics: &Metrics,
        clock: &Clock,
        stopping: &watch::Sender<bool>,
    ) -> (Self, Vec<Arbiter>) {
        let limits = |permits| config.limits(permits);
        let gatekeeper = Handle::new("auth", limits(config.write_permits + config.read_permits), metrics);
        let actors = Actors {
            auth: Gate::new(gatekeeper, &auth, metrics, clock),
            pg_writer: Handle::new("pg_writer", limits(config.write_permits), metrics),
            vector_writer: Handle::new("vector_writer", limits(config.search_permits), metrics),
            query: Handle::new("query", limits(config.read_permits), metrics),
            similarity: Handle::new("similarity", limits(config.search_permits), metrics),
            embedder: Handle::new("embedder", limits(config.search_permits), metrics),
        };
        let pool = |name, database, max| pool(config, name, database, max);
        let arbiters: Vec<Arbiter> = (0..5).map(|_| Arbiter::new()).collect();
        let thread = |n: usize| arbiters[n].handle();

        let (arbiter, gate, m, c) = (thread(0), actors.auth.clone(), metrics.clone(), clock.clone());
        supervise(actors.auth.handle.clone(), stopping.subscribe(), move |alive| {
            let (settings, gate, m, c) = (auth.clone(), gate.clone(), m.clone(), c.clone());
            AuthActor::start_in_arbiter(&arbiter, move |_| AuthActor::new(settings, gate, m, c, alive))
        });

        let start = Start { config, databases, spaces: &spaces, metrics, clock, stopping };
        start.pg_writer(&actors.pg_writer, &actors.vector_writer, thread(1));
        start.vector_writer(
            &actors.vector_writer,
            outbox_work(&actors.embedder, &actors.pg_writer, metrics, clock, &spaces),
            thread(2),
        );

        let settings = for_reads(pool("read", &databases.read, config.pools.read), config);
        let (arbiter, m) = (thread(3), metrics.clone());
        supervise(actors.query.clone(), stopping.subscribe(), move |alive| {
            let (settings, m) = (settings.clone(), m.clone());
            QueryActor::start_in_arbiter(&arbiter, move |_| QueryActor::new(settings, m, alive))
        });

        let settings = SimilaritySettings {
            pool: for_reads(pool("vector_read", &databases.vector, config.pools.vector_read), config),
            spaces: spaces.clone(),
            recurrence_window: config.recurrence_window,
        };
        let (embedder, query) = (actors.embedder.clone(), actors.query.clone());
        let (arbiter, m, c) = (thread(4), metrics.clone(), clock.clone());
        supervise(actors.similarity.clone(), stopping.subscribe(), move |alive| {
            let (settings, e, q, m, c) = (settings.clone(), embedder.clone(), query.clone(), m.clone(), c.clone());
            SimilarityActor::start_in_arbiter(&arbiter, move |_| SimilarityActor::new(settings, e, q, m, c, alive))
        });

        start.embedder(&actors.embedder);
        (actors, arbiters)
    }
}

/// The actors that make vectors, for a command that does without a service: they work on the outbox until they are dropped.
pub struct OutboxWorkers {
    arbiters: Vec<Arbiter>,
    stopping: watch::Sender<bool>,
}

impl OutboxWorkers {
    pub fn start(
        config: &Config,
        databases: &DatabaseConfigs,
        spaces: Spaces,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Self {
        let limits = config.limits(config.search_permits);
        let pg_writer = Handle::new("pg_writer", limits, metrics);
        let vector_writer = Handle::new("vector_writer", limits, metrics);
        let embedder = Handle::new("embedder", limits, metrics);
        let (stopping, _) = watch::channel(false);
        let arbiters = vec![Arbiter::new(), Arbiter::new()];
        let spaces = Some(spaces);
        let start = Start { config, databases, spaces: &spaces, metrics, clock, stopping: &stopping };
        start.pg_writer(&pg_writer, &vector_writer, arbiters[0].handle());
        start.vector_writer(
            &vector_writer,
            outbox_work(&embedder, &pg_writer, metrics, clock, &spaces),
            arbiters[1].handle(),
        );
        start.embedder(&embedder);
        OutboxWorkers { arbiters, stopping }
    }
}

impl Drop for OutboxWorkers {
    fn drop(&mut self) {
        // Actors that end from now on are meant to.
        self.stopping.send_replace(true);
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
            // An arbiter that panicked has nothing left to wait for.
            let _ = arbiter.join();
        }
    }
}

/// What actors are started with.
struct Start<'a> {
    config: &'a Config,
    databases: &'a DatabaseConfigs,
    spaces: &'a Option<Spaces>,
    metrics: &'a Metrics,
    clock: &'a Clock,
    stopping: &'a watch::Sender<bool>,
}

impl Start<'_> {
    fn pg_writer(
        &self,
        handle: &Handle<PgWriterActor>,
        vector_writer: &Handle<VectorWriterActor>,
        arbiter: ArbiterHandle,
    ) {
        let (config, metrics) = (self.config, self.metrics);
        let settings = PgWriterSettings {
            pool: pool(config, "write", &self.databases.write, config.pools.write),
            flush_max_rows: config.flush_max_rows,
            flush_max_bytes: config.flush_max_bytes,
            deadline: config.request_deadline,
            replay_window: config.replay_window,
            window: config.window,
            embedding_claim: self.spaces.is_some().then_some(CLAIM),
        };
        // A lane for each shard, as far as there are connections: two are for what is done beside the flushes.
        let lanes = self
            .databases
            .write
            .distribution()
            .map_or(1, |distribution| distribution.shards.min(config.pools.write.saturating_sub(2)).max(1));
        let queue = WriteQueue::new(config.write_permits, usize::try_from(lanes).unwrap_or(1), metrics);
        let vector_writer = vector_writer.clone();
        let on_commit: OnCommit = Arc::new(move |jobs| {
            // While it is being restarted the outbox keeps the jobs.
            vector_writer.tell(WriteEmbedding { jobs });
        });
        let (m, c) = (metrics.clone(), self.clock.clone());
        supervise(handle.clone(), self.stopping.subscribe(), move |alive| {
            let (settings, queue, m, c, on_commit) =
                (settings.clone(), queue.clone(), m.clone(), c.clone(), on_commit.clone());
            PgWriterActor::start_in_arbiter(&arbiter, move |_| {
                PgWriterActor::new(settings, queue, m, c, on_commit, alive)
            })
        });
    }

    fn vector_writer(&self, handle: &Handle<VectorWriterActor>, work: Work, arbiter: ArbiterHandle) {
        let settings = pool(self.config, "vector_write", &self.databases.vector, self.config.pools.vector_write);
        let m = self.metrics.clone();
        supervise(handle.clone(), self.stopping.subscribe(), move |alive| {
            let (settings, work, m) = (settings.clone(), work.clone(), m.clone());
            VectorWriterActor::start_in_arbiter(&arbiter, move |_| VectorWriterActor::new(settings, work, m, alive))
        });
    }

    fn embedder(&self, handle: &Handle<EmbedderActor>) {
        let (engine, m) = (self.config.embedder.engine().cloned(), self.metrics.clone());
        supervise(handle.clone(), self.stopping.subscribe(), move |alive| {
            let (engine, m, alive) = (engine.clone(), m.clone(), Arc::new(alive));
            SyncArbiter::start(1, move || EmbedderActor::new(engine.clone(), m.clone(), alive.clone()))
        });
    }
}

fn pool(config: &Config, name: &'static str, database: &DatabaseConfig, max: u32) -> PoolSettings {
    PoolSettings {
        name,
        database: database.clone(),
        max,
        max_lifetime: config.pool_max_lifetime,
        wait: Duration::from_secs(2).min(config.request_deadline),
        statement_timeout: None,
    }
}

/// What the vector writer does: the outbox's worker, with all that it needs.
fn outbox_work(
    embedder: &Handle<EmbedderActor>,
    pg_writer: &Handle<PgWriterActor>,
    metrics: &Metrics,
    clock: &Clock,
    spaces: &Option<Spaces>,
) -> Work {
    let (embedder, pg_writer) = (embedder.clone(), pg_writer.clone());
    let (metrics, clock, spaces) = (metrics.clone(), clock.clone(), spaces.clone());
    Arc::new(move |pool, waiting| {
        let worker = Worker {
            pool,
            waiting,
            embedder: embedder.clone(),
            pg_writer: pg_writer.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            spaces: spaces.clone(),
            has_changed: true,
            has_incomplete: true,
        };
        Box::pin(worker.run())
    })
}

/// A read that nobody waits for any more stops costing.
fn for_reads(pool: PoolSettings, config: &Config) -> PoolSettings {
    PoolSettings { statement_timeout: Some(config.request_deadline), ..pool }
}
