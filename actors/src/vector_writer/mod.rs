//! Writes the vectors of audits after their commit, and makes up for those that were missed.

mod add_facets;
mod count_changes;
mod forget_vectors;
mod patterns_lock;
mod worker;
mod write_embedding;
mod write_vectors;

pub use forget_vectors::ForgetVectors;
pub use write_embedding::WriteEmbedding;

use crate::db::pool::{Pool, PoolSettings};
use crate::domain::time::Clock;
use crate::embedder::{EmbedderActor, Spaces};
use crate::error::ActorError;
use crate::handle::{Handle, Probe, common_handlers};
use crate::metrics::Metrics;
use crate::pg_writer::{EmbeddingJob, MeasureOutbox, PgWriterActor};
use crate::supervise::Alive;
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use worker::Worker;

pub struct VectorWriterActor {
    pool: PoolSettings,
    embedder: Handle<EmbedderActor>,
    pg_writer: Handle<PgWriterActor>,
    metrics: Metrics,
    clock: Clock,
    spaces: Option<Spaces>,
    room: Arc<Semaphore>,
    running: Option<Running>,
    _alive: Alive,
}

struct Running {
    pool: Pool,
    jobs: mpsc::Sender<Jobs>,
}

/// Texts of one or more flushes, and their share of the memory for those that wait.
struct Jobs {
    jobs: Vec<EmbeddingJob>,
    room: OwnedSemaphorePermit,
}

impl Jobs {
    fn add(&mut self, more: Jobs) {
        self.jobs.extend(more.jobs);
        self.room.merge(more.room);
    }
}

/// Texts that may wait in memory, in KiB, and flushes that they may come in. What does not fit stays in the outbox.
const WAITING_KIB: usize = 16 * 1024;
const WAITING_FLUSHES: usize = 4096;
/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);

impl VectorWriterActor {
    pub fn new(
        pool: PoolSettings,
        embedder: Handle<EmbedderActor>,
        pg_writer: Handle<PgWriterActor>,
        metrics: Metrics,
        clock: Clock,
        spaces: Option<Spaces>,
        alive: Alive,
    ) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        VectorWriterActor { pool, embedder, pg_writer, metrics, clock, spaces, room, running: None, _alive: alive }
    }
}

impl Actor for VectorWriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pool = Pool::new(&self.pool, &self.metrics);
        let (jobs, waiting) = mpsc::channel(WAITING_FLUSHES);
        let worker = Worker {
            pool: pool.clone(),
            waiting,
            embedder: self.embedder.clone(),
            pg_writer: self.pg_writer.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            spaces: self.spaces.clone(),
        };
        // A worker that panicked takes its actor along, and is started again with it.
        let worker = actix::spawn(worker.run());
        ctx.spawn(worker.into_actor(self).map(|_, _, ctx| ctx.stop()));
        let pg_writer = self.pg_writer.clone();
        ctx.run_interval(MEASURE, move |_, _| {
            let pg_writer = pg_writer.clone();
            // Its figures are for the metrics; where it cannot be asked they stay as they were.
            actix::spawn(async move { pg_writer.ask(MeasureOutbox, MEASURE).await.ok() });
        });
        self.running = Some(Running { pool, jobs });
    }
}

common_handlers!(VectorWriterActor);

impl Handler<Probe> for VectorWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.as_ref().map(|running| running.pool.clone());
        Box::pin(async move { pool.ok_or(ActorError::Unavailable("the vector writer is starting"))?.probe().await })
    }
}
