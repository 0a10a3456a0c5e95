//! Writes the vectors of audits after their commit, and makes up for those that were missed.

mod worker;
mod write_embedding;
mod write_vectors;

pub use write_embedding::WriteEmbedding;

use crate::db::pool::{Pool, PoolSettings};
use crate::domain::time::Clock;
use crate::embedder::EmbedderActor;
use crate::error::ActorError;
use crate::handle::{Handle, Ping, Probe};
use crate::metrics::Metrics;
use crate::pg_writer::{EmbeddingJob, PgWriterActor};
use crate::supervise::Alive;
use actix::prelude::*;
use tokio::sync::mpsc;
use worker::Worker;

pub struct VectorWriterActor {
    pool: PoolSettings,
    embedder: Handle<EmbedderActor>,
    pg_writer: Handle<PgWriterActor>,
    metrics: Metrics,
    clock: Clock,
    running: Option<Running>,
    _alive: Alive,
}

struct Running {
    pool: Pool,
    jobs: mpsc::Sender<Vec<EmbeddingJob>>,
}

/// Flushes whose texts may wait in memory. What does not fit stays in the outbox.
const WAITING_FLUSHES: usize = 16;

impl VectorWriterActor {
    pub fn new(
        pool: PoolSettings,
        embedder: Handle<EmbedderActor>,
        pg_writer: Handle<PgWriterActor>,
        metrics: Metrics,
        clock: Clock,
        alive: Alive,
    ) -> Self {
        VectorWriterActor { pool, embedder, pg_writer, metrics, clock, running: None, _alive: alive }
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
        };
        // A worker that panicked takes its actor along, and is started again with it.
        let worker = actix::spawn(worker.run());
        ctx.spawn(worker.into_actor(self).map(|_, _, ctx| ctx.stop()));
        self.running = Some(Running { pool, jobs });
    }
}

impl Handler<Ping> for VectorWriterActor {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        Ok(())
    }
}

impl Handler<Probe> for VectorWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.as_ref().map(|running| running.pool.clone());
        Box::pin(async move { pool.ok_or(ActorError::Unavailable("the vector writer is starting"))?.probe().await })
    }
}
