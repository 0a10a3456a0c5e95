//! The one who writes: what comes from flushes first, and in between what the outbox still holds.

use super::Jobs;
use super::write_vectors::{AuditVector, Batch};
use crate::db::pool::Pool;
use crate::domain::time::Clock;
use crate::embedder::{Embed, EmbedderActor, Embedding, Space, Spaces};
use crate::error::ActorError;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::pg_writer::{ClaimOutbox, ClearOutbox, EmbeddingJob, PgWriterActor, ReadFacts, SetAside};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

pub(super) struct Worker {
    pub pool: Pool,
    pub waiting: mpsc::Receiver<Jobs>,
    pub embedder: Handle<EmbedderActor>,
    pub pg_writer: Handle<PgWriterActor>,
    pub metrics: Metrics,
    pub clock: Clock,
    /// Whose vectors are written; without any the outbox is left as it is.
    pub spaces: Option<Spaces>,
}

/// Audits of one transaction.
const BATCH: usize = 512;
/// Texts that the embedder gets at once.
const EMBED_AT_ONCE: usize = 32;
/// How long another actor may take to answer.
const ASK: Duration = Duration::from_secs(5);
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
    /// Works until the actor is gone. What was missed gets its turn also where flushes keep coming.
    pub async fn run(mut self) {
        let mut heal = interval_at(Instant::now() + HEAL, HEAL);
        heal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = heal.tick(), if self.spaces.is_some() => {
                    // A full batch means that more is left: its next one follows the next flush.
                    if self.heal().await == BATCH {
                        heal.reset_immediately();
                        self.write_next_if_any().await;
                    }
                },
                jobs = self.waiting.recv() => match jobs {
                    Some(jobs) => self.write_with_more(jobs).await,
                    None => return,
                },
            }
        }
    }

    async fn write_next_if_any(&mut self) {
        if let Ok(jobs) = self.waiting.try_recv() {
            self.write_with_more(jobs).await;
        }
    }

    async fn write_with_more(&mut self, jobs: Jobs) {
        let jobs = self.together(jobs);
        self.write_patiently(&jobs.jobs).await;
    }

    /// The jobs and what else waits, up to a batch.
    fn together(&mut self, mut jobs: Jobs) -> Jobs {
        while jobs.jobs.len() < BATCH {
            match self.waiting.try_recv() {
                Ok(more) => jobs.add(more),
                Err(_) => break,
            }
        }
        jobs
    }

    /// Writes a batch, again and again while the vector store is away.
    async fn write_patiently(&self, jobs: &[EmbeddingJob]) {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        while let Err(Failed(reason)) = self.write(jobs).await {
            self.metrics.dualwrite_failure_total.with_label_values(&[reason]).inc_by(jobs.len() as u64); // usize fits
            if pause == FIRST_PAUSE {
                if reason == "vector_store" {
                    self.metrics.fallback_mode_total.inc();
                }
                tracing::warn!(audits = jobs.len(), reason, "vectors not written; the outbox keeps them");
            }
            if started.elapsed() > PATIENCE {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes up for a batch of what was missed; returns how many it found.
    async fn heal(&self) -> usize {
        // Who cannot be asked, or does not answer, is asked again at the next tick.
        let claim = ClaimOutbox { limit: BATCH };
        let Ok(jobs) = self.pg_writer.ask(claim, ASK).await else { return 0 };
        if jobs.is_empty() {
            return 0;
        }
        match self.write(&jobs).await {
            Ok(()) => {
                tracing::info!(audits = jobs.len(), "vectors made up for");
                jobs.len()
            }
            Err(Failed(reason)) => {
                self.metrics.dualwrite_failure_total.with_label_values(&[reason]).inc_by(jobs.len() as u64); // usize fits
                0
            }
        }
    }

    /// The embeddings of some jobs, asked for in parts, so that the embedder stays able to answer others. What it refuses alone,
    /// while it takes others, is set aside and left out.
    async fn embed(&self, space: &Space, jobs: &[EmbeddingJob]) -> Result<Vec<Option<Option<Arc<Embedding>>>>, Failed> {
        let mut embeddings = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(EMBED_AT_ONCE) {
            match self.ask(space, part).await {
                Ok(done) => embeddings.extend(done.into_iter().map(Some)),
                Err(_) => {
                    let mut one_by_one = Vec::new();
                    for job in part {
                        one_by_one.push(
                            self.ask(space, std::slice::from_ref(job)).await.ok().and_then(|mut done| done.pop()),
                        );
                    }
                    if one_by_one.iter().all(Option::is_none) {
                        return Err(Failed("embedder"));
                    }
                    embeddings.extend(one_by_one);
                }
            }
        }
        let refused: Vec<_> =
            jobs.iter().zip(&embeddings).filter(|(_, done)| done.is_none()).map(|(job, _)| job.id).collect();
        if !refused.is_empty() {
            tracing::warn!(audits = refused.len(), "the embedder refuses texts");
            self.metrics.dualwrite_failure_total.with_label_values(&["embedder"]).inc_by(refused.len() as u64); // usize fits
            // Where it cannot be noted they are tried again, as any row of the outbox.
            let _ = self.pg_writer.ask(SetAside { ids: refused }, ASK).await;
        }
        Ok(embeddings)
    }

    /// The same of the embedder that is searched until `reindex` has filled the configured one's space. The first failure ends it: the
    /// others' vectors wait no longer.
    async fn embed_formerly(
        &self,
        space: &Space,
        jobs: &[EmbeddingJob],
    ) -> Result<Vec<Option<Option<Arc<Embedding>>>>, ActorError> {
        let mut embeddings = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(EMBED_AT_ONCE) {
            embeddings.extend(self.ask(space, part).await?.into_iter().map(Some));
        }
        Ok(embeddings)
    }

    async fn ask(&self, space: &Space, jobs: &[EmbeddingJob]) -> Result<Vec<Option<Arc<Embedding>>>, ActorError> {
        let texts = jobs.iter().map(|job| job.text.clone()).collect();
        self.embedder.call(Embed { space: space.id.clone(), texts }).await
    }

    async fn write(&self, jobs: &[EmbeddingJob]) -> Result<(), Failed> {
        let Some(spaces) = &self.spaces else { return Ok(()) };
        let requests = jobs.iter().map(|job| job.remediation_request_id.clone()).collect();
        // Read after the audits' commit, so they are in it; a later change has a row of the outbox of its own.
        let mut facts = self.pg_writer.ask(ReadFacts { requests }, ASK).await.map_err(|_| Failed("audit_database"))?;
        let mut done = vec![true; jobs.len()];
        let mut written = 0;
        for space in spaces.written() {
            let embeddings = if space == *spaces.configured() {
                self.embed(&space, jobs).await?
            } else {
                match self.embed_formerly(&space, jobs).await {
                    Ok(embeddings) => embeddings,
                    Err(error) => {
                        self.metrics.dualwrite_failure_total.with_label_values(&["embedder"]).inc_by(jobs.len() as u64); // usize fits
                        // What is gone for good is not waited for; else the rows remain, and are tried again.
                        let gone = matches!(error, ActorError::NotFound);
                        done.iter_mut().for_each(|done| *done &= gone);
                        continue;
                    }
                }
            };
            let vectors: Vec<AuditVector<'_>> = jobs
                .iter()
                .zip(&embeddings)
                .filter_map(|(job, embedding)| {
                    let embedding = embedding.clone()??;
                    let (id, received_at) = (job.id, job.received_at);
                    Some(AuditVector {
                        id,
                        remediation_request_id: &job.remediation_request_id,
                        received_at,
                        embedding,
                    })
                })
                .collect();
            written += vectors.len() as u64; // usize fits
            for (done, embedding) in done.iter_mut().zip(&embeddings) {
                *done &= embedding.is_some();
            }
            let batch = Batch { space: &space, vectors, facts, now: (self.clock)() };
            batch.write(&self.pool, &self.metrics).await.map_err(|_: ActorError| Failed("vector_store"))?;
            facts = batch.facts;
        }
        self.metrics.dualwrite_success_total.inc_by(written);
        let ids = jobs.iter().zip(done).filter(|(_, done)| *done).map(|(job, _)| job.id).collect();
        if self.pg_writer.ask(ClearOutbox { ids }, ASK).await.is_err() {
            // The rows are found again, and writing a vector twice changes nothing.
            tracing::warn!(audits = jobs.len(), "outbox not cleared");
        }
        Ok(())
    }
}
