//! Makes the vectors: of what comes from flushes first, and in between of what the outbox still holds.

use super::{ClaimOutbox, ClearOutbox, MeasureOutbox, ReadFacts, SetAside};
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseFault;
use crate::domain::audit_text::AuditText;
use crate::domain::embedding_job::EmbeddingJob;
use crate::domain::time::Clock;
use crate::embedder::{Embed, EmbedderActor, Embedding, EngineFault, Space, Spaces};
use crate::error::ActorError;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::pg_writer::PgWriterActor;
use crate::vector_writer::{AuditVector, Batch, Incomplete, Jobs};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

pub struct Worker {
    pub pool: Pool,
    pub waiting: mpsc::Receiver<Jobs>,
    pub embedder: Handle<EmbedderActor>,
    pub pg_writer: Handle<PgWriterActor>,
    pub metrics: Metrics,
    pub clock: Clock,
    /// Whose vectors are written; without any the outbox is left as it is.
    pub spaces: Option<Spaces>,
    /// Whether rows were written or cleared since the outbox was last measured and found empty.
    pub has_changed: bool,
    /// Whether the vector store may have copies of facts from before some of them were copied.
    pub has_incomplete: bool,
}

/// Audits of one transaction.
const BATCH: usize = 512;
/// Texts that the embedder gets at once.
const EMBED_AT_ONCE: usize = 32;
/// How long another actor may take to answer.
const ASK: Duration = Duration::from_secs(5);
/// How often the outbox is looked through for what was missed.
const HEAL: Duration = Duration::from_secs(3);
/// How often the outbox is measured while it changes, and how often at least: another service may have changed it.
const MEASURE: Duration = Duration::from_secs(5);
const MEASURE_AT_LEAST: u32 = 12;
/// A batch in memory is given up after this long; its outbox rows remain.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pauses between the tries to write a batch.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .without_max_times()
        .build()
}

/// Why a batch was not written.
enum Failed {
    /// The embedder does not answer, or cannot work as it is set up.
    Embedder,
    VectorStore,
    AuditDatabase,
    /// The vector store took too long: a smaller batch may do.
    TooMuch,
}

impl Failed {
    /// The label of the metric.
    fn reason(&self) -> &'static str {
        match self {
            Failed::Embedder => "embedder",
            Failed::VectorStore | Failed::TooMuch => "vector_store",
            Failed::AuditDatabase => "audit_database",
        }
    }
}

/// What the embedder made of a text.
enum Made {
    Vector(Arc<Embedding>),
    /// There is no feature in the text.
    Nothing,
    /// The embedder refuses the text, and takes others.
    Refused,
}

impl Worker {
    /// Works until the actor is gone. What was missed gets its turn also where flushes keep coming.
    pub async fn run(mut self) {
        let mut heal = interval_at(Instant::now() + HEAL, HEAL);
        heal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measure = interval_at(Instant::now() + MEASURE, MEASURE);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unmeasured = MEASURE_AT_LEAST;
        loop {
            tokio::select! {
                biased;
                _ = measure.tick() => {
                    unmeasured += 1;
                    if self.has_changed || unmeasured >= MEASURE_AT_LEAST {
                        // An older program beside this one leaves some, too.
                        self.has_incomplete |= unmeasured >= MEASURE_AT_LEAST;
                        self.measure().await;
                        unmeasured = 0;
                    }
                },
                _ = heal.tick(), if self.spaces.is_some() => {
                    // A full batch means that more is left: its next one follows the next flush.
                    if self.heal().await == BATCH || self.complete_copies().await {
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

    /// For the metrics; where the writer cannot be asked they stay as they were.
    async fn measure(&mut self) {
        if let Ok(size) = self.pg_writer.ask(MeasureOutbox, ASK).await {
            self.has_changed = size.rows > 0;
        }
    }

    async fn write_next_if_any(&mut self) {
        if let Ok(jobs) = self.waiting.try_recv() {
            self.write_with_more(jobs).await;
        }
    }

    async fn write_with_more(&mut self, jobs: Jobs) {
        let jobs = self.together(jobs);
        self.has_changed = true;
        self.write_patiently(jobs.audits()).await;
    }

    /// The jobs and what else waits, up to a batch.
    fn together(&mut self, mut jobs: Jobs) -> Jobs {
        while jobs.audits().len() < BATCH {
            match self.waiting.try_recv() {
                Ok(more) => jobs.add(more),
                Err(_) => break,
            }
        }
        jobs
    }

    /// Writes a batch, again and again while the vector store is away.
    async fn write_patiently(&self, jobs: &[EmbeddingJob]) {
        let mut pauses = pauses();
        let (started, mut is_first) = (Instant::now(), true);
        while let Err(failed) = self.write(jobs).await {
            self.count(&failed, jobs.len());
            if is_first {
                if matches!(failed, Failed::VectorStore | Failed::TooMuch) {
                    self.metrics.fallback_mode_total.inc();
                }
                tracing::warn!(
                    audits = jobs.len(),
                    reason = failed.reason(),
                    "vectors not written; the outbox keeps them"
                );
                is_first = false;
            }
            match pauses.next() {
                Some(pause) if started.elapsed() < PATIENCE => sleep(pause).await,
                _ => return,
            }
        }
    }

    fn count(&self, failed: &Failed, audits: usize) {
        let total = &self.metrics.dualwrite_failure_total;
        total.with_label_values(&[failed.reason()]).inc_by(audits as u64); // usize fits into 64 bits
    }

    /// Makes up for a batch of what was missed; returns how many it found.
    async fn heal(&mut self) -> usize {
        // A writer that cannot be asked, or does not answer, is asked again at the next tick.
        let Ok(jobs) = self.pg_writer.ask(ClaimOutbox { limit: BATCH }, ASK).await else { return 0 };
        if jobs.is_empty() {
            return 0;
        }
        self.has_changed = true;
        match self.write(&jobs).await {
            Ok(()) => {
                tracing::info!(audits = jobs.len(), "vectors made up for");
                jobs.len()
            }
            Err(failed) => {
                self.count(&failed, jobs.len());
                0
            }
        }
    }

    /// Completes some copies of facts; says whether there may be more.
    async fn complete_copies(&mut self) -> bool {
        let Some(spaces) = self.spaces.as_ref().filter(|_| self.has_incomplete) else { return false };
        let complete = async {
            let incomplete = Incomplete::list(&self.pool).await.map_err(|_| Failed::VectorStore)?;
            if incomplete.is_empty() {
                return Ok(false);
            }
            let requests = incomplete.requests();
            let facts = self.pg_writer.ask(ReadFacts { requests }, ASK).await.map_err(|_| Failed::AuditDatabase)?;
            let batch = Batch { space: spaces.configured(), vectors: Vec::new(), facts: &facts, now: (self.clock)() };
            batch.write(&self.pool).await.map_err(|_| Failed::VectorStore)?;
            incomplete.mark_gone(&self.pool, &facts).await.map_err(|_| Failed::VectorStore)?;
            Ok::<_, Failed>(true)
        };
        // Where a store does not answer, the next turn tries again.
        let Ok(found) = complete.await else { return false };
        self.has_incomplete = found;
        found
    }

    /// Writes some jobs; where the vector store takes too long for all of them, half of them after the other.
    async fn write(&self, jobs: &[EmbeddingJob]) -> Result<(), Failed> {
        let mut parts = vec![jobs];
        while let Some(part) = parts.pop() {
            match self.write_together(part).await {
                Err(Failed::TooMuch) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Ok(()) => {}
                Err(failed) => return Err(failed),
            }
        }
        Ok(())
    }

    async fn write_together(&self, jobs: &[EmbeddingJob]) -> Result<(), Failed> {
        let Some(spaces) = &self.spaces else { return Ok(()) };
        let requests = jobs.iter().map(|job| job.remediation_request_id.clone()).collect();
        // Read after the audits' commit, so they are in it; a later change has a row of the outbox of its own.
        let facts = self.pg_writer.ask(ReadFacts { requests }, ASK).await.map_err(|_| Failed::AuditDatabase)?;
        // Which rows need not be tried again.
        let mut done = vec![true; jobs.len()];
        let mut written = 0;
        for space in spaces.written() {
            let made = match self.embed(&space, jobs).await {
                Ok(made) => made,
                Err(error) if space == *spaces.configured() => {
                    tracing::warn!(space = space.id, %error, "the embedder makes no vectors");
                    return Err(Failed::Embedder);
                }
                // The embedder that is searched until `reindex` has filled the configured one's space: the others' vectors do not wait
                // for it, and what is gone for good is not waited for at all.
                Err(error) => {
                    self.count(&Failed::Embedder, jobs.len());
                    let is_gone = matches!(error, ActorError::Embedder(EngineFault::Gone(_)));
                    done.iter_mut().for_each(|done| *done &= is_gone);
                    continue;
                }
            };
            if space == *spaces.configured() {
                self.set_aside(jobs, &made, &mut done).await;
            }
            let vectors: Vec<AuditVector<'_>> =
                jobs.iter().zip(&made).filter_map(|(job, made)| vector(job, made)).collect();
            written += vectors.len() as u64; // usize fits into 64 bits
            let batch = Batch { space: &space, vectors, facts: &facts, now: (self.clock)() };
            batch.write(&self.pool).await.map_err(|error| {
                // Before the vector store is migrated, audits wait as they do while it is away.
                if error.fault != DatabaseFault::Schema {
                    error.log("vectors not written");
                }
                match error.fault {
                    DatabaseFault::Late => Failed::TooMuch,
                    _ => Failed::VectorStore,
                }
            })?;
        }
        self.metrics.dualwrite_success_total.inc_by(written);
        let ids = jobs.iter().zip(done).filter(|(_, done)| *done).map(|(job, _)| job.id).collect();
        if self.pg_writer.ask(ClearOutbox { ids }, ASK).await.is_err() {
            // The rows are found again, and writing a vector twice changes nothing.
            tracing::warn!(audits = jobs.len(), "outbox not cleared");
        }
        Ok(())
    }

    /// Notes a try of what the embedder refuses; its rows stay.
    async fn set_aside(&self, jobs: &[EmbeddingJob], made: &[Made], done: &mut [bool]) {
        let mut refused = Vec::new();
        for ((job, made), done) in jobs.iter().zip(made).zip(done) {
            if matches!(made, Made::Refused) {
                *done = false;
                refused.push(job.id);
            }
        }
        if refused.is_empty() {
            return;
        }
        tracing::warn!(audits = refused.len(), "the embedder refuses texts");
        self.count(&Failed::Embedder, refused.len());
        // Where it cannot be noted they are tried again, as any row of the outbox.
        let _ = self.pg_writer.ask(SetAside { ids: refused }, ASK).await;
    }

    /// The embeddings of some jobs, asked for in parts, so that the embedder stays able to answer others. A part that it refuses is
    /// halved until the refused text is found.
    async fn embed(&self, space: &Space, jobs: &[EmbeddingJob]) -> Result<Vec<Made>, ActorError> {
        let mut made = Vec::with_capacity(jobs.len());
        let mut parts: Vec<&[EmbeddingJob]> = jobs.chunks(EMBED_AT_ONCE).rev().collect();
        while let Some(part) = parts.pop() {
            let texts = part.iter().map(|job| job.text.clone()).collect();
            match self.ask(space, texts).await {
                Ok(embeddings) => {
                    made.extend(embeddings.into_iter().map(|made| made.map_or(Made::Nothing, Made::Vector)))
                }
                Err(ActorError::Embedder(EngineFault::Refused(_))) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(ActorError::Embedder(EngineFault::Refused(_))) => made.push(Made::Refused),
                Err(error) => return Err(error),
            }
        }
        if made.iter().any(|made| matches!(made, Made::Refused)) {
            // An embedder that refuses whatever it is asked is not set up as it should be, and that is no fault of these texts. What it took
            // may have come from the cache: it is asked for something new.
            let plain =
                AuditText { reasoning: Some(format!("pod restarted {}", (self.clock)())), ..AuditText::default() };
            self.ask(space, vec![plain]).await?;
        }
        Ok(made)
    }

    async fn ask(&self, space: &Space, texts: Vec<AuditText>) -> Result<Vec<Option<Arc<Embedding>>>, ActorError> {
        self.embedder.call(Embed { space: space.id.clone(), texts }).await
    }
}

fn vector<'a>(job: &'a EmbeddingJob, made: &Made) -> Option<AuditVector<'a>> {
    let Made::Vector(embedding) = made else { return None };
    Some(AuditVector {
        id: job.id,
        remediation_request_id: &job.remediation_request_id,
        received_at: job.received_at,
        embedding: embedding.clone(),
    })
}
