//! The one who writes: what comes from flushes first, and in between what the outbox still holds.

use super::write_vectors::write_vectors;
use crate::db::pool::Pool;
use crate::domain::audit_id::AuditId;
use crate::domain::time::Clock;
use crate::embedder::{Embed, EmbedderActor, Embedding};
use crate::error::ActorError;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::pg_writer::{ClaimOutbox, ClearOutbox, EmbeddingJob, MeasureOutbox, PgWriterActor};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

pub(super) struct Worker {
    pub pool: Pool,
    pub waiting: mpsc::Receiver<Vec<EmbeddingJob>>,
    pub embedder: Handle<EmbedderActor>,
    pub pg_writer: Handle<PgWriterActor>,
    pub metrics: Metrics,
    pub clock: Clock,
}

/// Audits of one transaction.
const BATCH: usize = 512;
/// How often the outbox is looked through for what was missed.
const HEAL: Duration = Duration::from_secs(3);
/// The pause after a first failure; it doubles up to the last one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A batch in memory is given up after this long; its outbox rows remain.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a try failed: the label of the metric.
struct Failed(&'static str);

impl Worker {
    /// Works until the actor is gone.
    pub async fn run(mut self) {
        let mut heal = interval_at(Instant::now() + HEAL, HEAL);
        heal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                jobs = self.waiting.recv() => match jobs {
                    Some(jobs) => {
                        let jobs = self.together(jobs);
                        self.write_patiently(jobs).await;
                    }
                    None => return,
                },
                _ = heal.tick() => self.heal().await,
            }
        }
    }

    /// The jobs and what else waits, up to a batch.
    fn together(&mut self, mut jobs: Vec<EmbeddingJob>) -> Vec<EmbeddingJob> {
        while jobs.len() < BATCH {
            match self.waiting.try_recv() {
                Ok(more) => jobs.extend(more),
                Err(_) => break,
            }
        }
        jobs
    }

    /// Writes a batch, again and again while the vector store is away.
    async fn write_patiently(&self, jobs: Vec<EmbeddingJob>) {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        while let Err(Failed(reason)) = self.write(&jobs).await {
            self.metrics.dualwrite_failure_total.with_label_values(&[reason]).inc_by(jobs.len() as u64); // usize fits
            if pause == FIRST_PAUSE {
                self.metrics.fallback_mode_total.inc();
                tracing::warn!(audits = jobs.len(), reason, "vectors not written; the outbox keeps them");
            }
            if started.elapsed() > PATIENCE {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes up for what was missed, a batch at a time, until flushes bring work or nothing is left.
    async fn heal(&self) {
        loop {
            // Who cannot be asked, or does not answer, is asked again at the next tick.
            let claim = ClaimOutbox { limit: BATCH };
            let Ok(jobs) = self.pg_writer.ask(claim, Duration::from_secs(5)).await else {
                return;
            };
            if jobs.is_empty() {
                break;
            }
            let found = jobs.len();
            if let Err(Failed(reason)) = self.write(&jobs).await {
                self.metrics.dualwrite_failure_total.with_label_values(&[reason]).inc_by(found as u64); // usize fits
                break;
            }
            tracing::info!(audits = found, "vectors made up for");
            if !self.waiting.is_empty() {
                break;
            }
        }
        // Its figures are for the metrics.
        let _ = self.pg_writer.ask(MeasureOutbox, Duration::from_secs(5)).await;
    }

    async fn write(&self, jobs: &[EmbeddingJob]) -> Result<(), Failed> {
        let texts = jobs.iter().map(|job| job.text.clone()).collect();
        let embeddings = self.embedder.call(Embed { texts }).await.map_err(|_| Failed("embedder"))?;
        let vectors: Vec<(AuditId, Arc<Embedding>)> =
            jobs.iter().zip(embeddings).filter_map(|(job, embedding)| Some((job.id, embedding?))).collect();
        if !vectors.is_empty() {
            let written = write_vectors(&self.pool, &self.metrics, &vectors, (self.clock)()).await;
            written.map_err(|_: ActorError| Failed("vector_store"))?;
        }
        self.metrics.dualwrite_success_total.inc_by(vectors.len() as u64); // usize fits
        let ids = jobs.iter().map(|job| job.id).collect();
        if self.pg_writer.ask(ClearOutbox { ids }, Duration::from_secs(5)).await.is_err() {
            // The rows are found again, and writing a vector twice changes nothing.
            tracing::warn!(audits = jobs.len(), "outbox not cleared");
        }
        Ok(())
    }
}
