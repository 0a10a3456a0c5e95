//! The actor that owns the pool for writes to the vector store, and these writes.

mod add_facets;
mod complete_copies;
mod count_changes;
mod write_embedding;
mod write_vectors;

pub use complete_copies::Incomplete;
pub(crate) use count_changes::count_changes;
pub use write_embedding::WriteEmbedding;
pub use write_vectors::{AuditVector, Batch};

use crate::db::pool::{Pool, PoolSettings};
use crate::domain::embedding_job::EmbeddingJob;
use crate::error::ActorError;
use crate::handle::{Probe, common_handlers};
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Works on the jobs that come, for as long as they may come (`outbox/worker.rs`).
pub type Work = Arc<dyn Fn(Pool, mpsc::Receiver<Jobs>) -> LocalBoxFuture<'static, ()> + Send + Sync>;

pub struct VectorWriterActor {
    settings: PoolSettings,
    metrics: Metrics,
    work: Work,
    room: Arc<Semaphore>,
    pool: Option<Pool>,
    jobs: Option<mpsc::Sender<Jobs>>,
    _alive: Alive,
}

/// Texts of one or more flushes, and their share of the memory for those that wait.
pub struct Jobs {
    audits: Vec<EmbeddingJob>,
    room: OwnedSemaphorePermit,
}

impl Jobs {
    pub fn audits(&self) -> &[EmbeddingJob] {
        &self.audits
    }

    pub fn add(&mut self, more: Jobs) {
        self.audits.extend(more.audits);
        self.room.merge(more.room);
    }
}

/// Texts that may wait in memory, in KiB, and flushes that they may come in. What does not fit stays in the outbox.
const WAITING_KIB: usize = 16 * 1024;
const WAITING_FLUSHES: usize = 4096;

impl VectorWriterActor {
    pub fn new(settings: PoolSettings, work: Work, metrics: Metrics, alive: Alive) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        VectorWriterActor { settings, metrics, work, room, pool: None, jobs: None, _alive: alive }
    }

    pub(crate) fn pool(&self) -> Result<Pool, ActorError> {
        self.pool.clone().ok_or(ActorError::Unavailable("the vector writer is starting"))
    }
}

impl Actor for VectorWriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pool = Pool::new(&self.settings, &self.metrics);
        let (jobs, waiting) = mpsc::channel(WAITING_FLUSHES);
        // A worker that panicked takes its actor along, and is started again with it.
        let worker = actix::spawn((self.work)(pool.clone(), waiting));
        ctx.spawn(worker.into_actor(self).map(|_, _, ctx| ctx.stop()));
        self.pool = Some(pool);
        self.jobs = Some(jobs);
    }
}

common_handlers!(VectorWriterActor);

impl Handler<Probe> for VectorWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { Ok(pool?.probe().await?) })
    }
}
