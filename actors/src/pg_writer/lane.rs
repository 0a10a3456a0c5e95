//! A lane: one flush at a time, of everything that waits.

use super::flush::{Outcome, flush};
use super::{Audit, EmbeddingJob, OnCommit, PgWriterSettings, Written, partitions};
use crate::db::pool::Pool;
use crate::db::sqlstate::{self, Fault};
use crate::domain::audit_id::AuditId;
use crate::domain::audit_text::AuditText;
use crate::domain::content::ContentHash;
use crate::domain::time::{Clock, month_of};
use crate::error::ActorError;
use crate::metrics::Metrics;
use chrono::NaiveDate;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// An audit that waits for its flush, and who waits for it.
pub(super) struct Pending {
    pub audit: Audit,
    pub bytes: usize,
    /// Its share of the queue's memory, until it leaves.
    pub room: OwnedSemaphorePermit,
    pub queued_at: Instant,
    /// The first is the request that brought the audit; the others repeat it.
    pub replies: Vec<oneshot::Sender<Result<Written, ActorError>>>,
}

/// What makes two audits of a flush the same.
#[derive(PartialEq, Eq, Hash)]
enum Sameness {
    Id(AuditId),
    Key(ContentHash),
}

impl Pending {
    fn sameness(&self) -> Sameness {
        let envelope = self.audit.envelope();
        match envelope.recognition.key() {
            Some(key) => Sameness::Key(*key),
            None => Sameness::Id(envelope.id),
        }
    }

    /// Answers everyone who waits.
    fn answer(self, result: Result<Written, ActorError>, metrics: &Metrics) {
        let table = self.audit.table();
        match &result {
            Ok(written) if written.replayed => metrics.write_replays_total.inc(),
            Ok(_) => {
                metrics.write_total.with_label_values(&[table, "success"]).inc();
                let seconds = self.queued_at.elapsed().as_secs_f64();
                metrics.write_duration_seconds.with_label_values(&[table]).observe(seconds);
            }
            // A client's mistake is not a failed write.
            Err(ActorError::KeyReused) => {}
            Err(_) => metrics.write_total.with_label_values(&[table, "failure"]).inc(),
        }
        for (at, reply) in self.replies.into_iter().enumerate() {
            let result = match &result {
                Ok(written) => {
                    if at > 0 {
                        metrics.write_replays_total.inc();
                    }
                    Ok(Written { replayed: written.replayed || at > 0, ..*written })
                }
                Err(error) => Err(error.clone()),
            };
            // Who has stopped waiting needs no answer.
            let _ = reply.send(result);
        }
    }
}

/// Has the next flush panic, for tests.
#[cfg(debug_assertions)]
pub static PANIC: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// How often a transaction that met another one is tried again.
const RETRIES: u32 = 5;

pub(super) struct Lane {
    queue: mpsc::Receiver<Pending>,
    /// Taken from the queue, but not to be in one flush with what came before them.
    deferred: VecDeque<Pending>,
    pool: Pool,
    settings: PgWriterSettings,
    metrics: Metrics,
    clock: Clock,
    on_commit: OnCommit,
    /// Months whose partition is known to exist.
    months: HashSet<NaiveDate>,
}

impl Lane {
    pub fn new(
        queue: mpsc::Receiver<Pending>,
        pool: Pool,
        settings: PgWriterSettings,
        metrics: Metrics,
        clock: Clock,
        on_commit: OnCommit,
    ) -> Self {
        let (deferred, months) = (VecDeque::new(), HashSet::new());
        Lane { queue, deferred, pool, settings, metrics, clock, on_commit, months }
    }

    /// Flushes until the queue is closed and empty.
    pub async fn run(mut self) {
        loop {
            let batch = self.collect().await;
            if batch.is_empty() {
                return;
            }
            self.write(batch).await;
        }
    }

    /// Everything that waits, within the bounds of a flush. Repeats join the audit that they repeat; an audit with a key
    /// that the flush has already, but another content, waits for the next one. Empty only at the end.
    async fn collect(&mut self) -> Vec<Pending> {
        let mut batch: Vec<Pending> = Vec::new();
        let mut places: HashMap<Sameness, usize> = HashMap::new();
        let mut again = VecDeque::new();
        let mut bytes = 0;
        while batch.len() < self.settings.flush_max_rows && bytes < self.settings.flush_max_bytes {
            let next = match self.deferred.pop_front() {
                Some(next) => next,
                None if batch.is_empty() && again.is_empty() => match self.queue.recv().await {
                    Some(next) => self.dequeued(next),
                    None => break,
                },
                None => match self.queue.try_recv() {
                    Ok(next) => self.dequeued(next),
                    Err(_) => break,
                },
            };
            if next.queued_at.elapsed() > self.settings.deadline {
                // Its requests have been answered 503; after a long stop the living come first.
                next.answer(Err(ActorError::Unavailable("the request took too long")), &self.metrics);
                continue;
            }
            match places.get(&next.sameness()).and_then(|place| batch.get_mut(*place)) {
                None => {
                    bytes += next.bytes;
                    places.insert(next.sameness(), batch.len());
                    batch.push(next);
                }
                Some(first) if first.audit.envelope().content == next.audit.envelope().content => {
                    first.replies.extend(next.replies);
                    drop(next.room);
                }
                Some(_) => again.push_back(next),
            }
        }
        again.append(&mut self.deferred);
        self.deferred = again;
        batch
    }

    fn dequeued(&self, pending: Pending) -> Pending {
        self.metrics.write_queue_depth.dec();
        pending
    }

    #[cfg(debug_assertions)]
    fn panic_if_asked() {
        assert!(!PANIC.swap(false, std::sync::atomic::Ordering::SeqCst), "a test asked for it");
    }

    /// Writes a batch. Where a row is at fault the batch is halved until that row fails alone.
    async fn write(&mut self, batch: Vec<Pending>) {
        #[cfg(debug_assertions)]
        Self::panic_if_asked();
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            match self.write_together(&batch).await {
                Ok(outcomes) => self.acknowledge(batch, outcomes),
                Err(Failure::Row) if batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    batches.push(rest);
                    batches.push(batch);
                }
                Err(Failure::Row) => self.fail(batch, &ActorError::Internal),
                Err(Failure::Whole(error)) => self.fail(batch, &error),
            }
        }
    }

    fn fail(&self, batch: Vec<Pending>, error: &ActorError) {
        for pending in batch {
            pending.answer(Err(error.clone()), &self.metrics);
        }
    }

    fn acknowledge(&self, batch: Vec<Pending>, outcomes: Vec<Outcome>) {
        let mut jobs = Vec::new();
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            let id = pending.audit.envelope().id;
            match (&outcome, &pending.audit) {
                (Outcome::New, Audit::Remediation(audit)) if self.settings.embed => {
                    jobs.push(EmbeddingJob {
                        id,
                        remediation_request_id: audit.remediation_request_id.clone(),
                        received_at: audit.envelope.received_at,
                        text: AuditText::of(audit),
                    });
                }
                _ => {}
            }
            let result = match outcome {
                Outcome::New => Ok(Written { id, replayed: false }),
                Outcome::Replay(id) => Ok(Written { id, replayed: true }),
                Outcome::KeyReused => Err(ActorError::KeyReused),
            };
            pending.answer(result, &self.metrics);
        }
        if !jobs.is_empty() {
            (self.on_commit)(jobs);
        }
    }

    async fn write_together(&mut self, batch: &[Pending]) -> Result<Vec<Outcome>, Failure> {
        let audits: Vec<&Audit> = batch.iter().map(|pending| &pending.audit).collect();
        let mut tries = 0;
        let outcomes = loop {
            let mut connection = self.pool.get().await.map_err(Failure::Whole)?;
            let missing: BTreeSet<NaiveDate> = audits
                .iter()
                .filter_map(|audit| match audit {
                    Audit::Remediation(audit) => Some(month_of(audit.created_at)),
                    Audit::Workflow(_) => None,
                })
                .filter(|month| !self.months.contains(month))
                .collect();
            let flushed = Instant::now();
            connection.has_warned(); // of what came before
            let limit = self.settings.deadline * 2;
            let result = timeout(limit, async {
                if !missing.is_empty() {
                    partitions::create(&mut connection, &missing).await?;
                }
                flush(&mut connection, &audits, &self.settings, (self.clock)()).await
            })
            .await;
            let seconds = flushed.elapsed().as_secs_f64();
            self.metrics.db_transaction_duration_seconds.with_label_values(&["pg_writer.flush"]).observe(seconds);
            let Ok(result) = result else {
                // Whoever waited was answered long ago. The connection is not used again.
                connection.in_transaction = true;
                tracing::warn!(transaction = "pg_writer.flush", audits = batch.len(), "no answer within {limit:?}");
                return Err(Failure::Whole(ActorError::Unavailable("PostgreSQL does not answer")));
            };
            let error = match result {
                Ok(_) if connection.has_warned() => {
                    // Committed here, but somebody ended the wait for the standby. The repeat is a replay, and waits anew.
                    tracing::warn!(transaction = "pg_writer.flush", "a COMMIT came with a warning: not acknowledged");
                    return Err(Failure::Whole(ActorError::Unavailable("the commit is not confirmed by the standby")));
                }
                Ok(outcomes) => {
                    self.months.extend(missing);
                    break outcomes;
                }
                Err(error) => error,
            };
            match sqlstate::fault(&error) {
                Fault::Conflict if tries < RETRIES => sleep(jittered(tries)).await,
                // A partition that was there is gone, or one that was not is made by another process.
                Fault::Table if tries < RETRIES => self.months.clear(),
                Fault::Row if batch.len() > 1 => return Err(Failure::Row),
                _ => return Err(Failure::Whole(sqlstate::handle(&error, "pg_writer.flush"))),
            }
            tries += 1;
        };
        self.metrics.flush_rows.observe(batch.len() as f64); // at most FLUSH_MAX_ROWS
        Ok(outcomes)
    }
}

enum Failure {
    /// Some row, of several.
    Row,
    /// All of the batch, for this reason.
    Whole(ActorError),
}

/// A pause that two replicas do not share: their process ids and clocks differ.
#[allow(clippy::disallowed_methods)] // chance, not time: nothing that a test could hold still depends on it
fn jittered(tries: u32) -> Duration {
    let salt = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos() ^ std::process::id());
    Duration::from_millis(u64::from(2u32.pow(tries) + salt % 8))
}
