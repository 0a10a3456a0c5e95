//! A lane: one flush at a time, of everything that waits.

use super::flush::{Disposition, Flushed, flush};
use super::queue::{Incoming, LaneEnd, Pending, Sameness};
use super::{Audit, OnCommit, PgWriterSettings, Written, partitions};
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::domain::audit_text::AuditText;
use crate::domain::embedding_job::EmbeddingJob;
use crate::domain::facts::identifying;
use crate::domain::time::{Clock, month_of};
use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::trace::{self, OpenSpan, Span, SpanIds, SpanKind};
use crate::waiting::Waiting;
use chrono::NaiveDate;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Has the next flush panic, for tests.
#[cfg(debug_assertions)]
pub static PANIC: AtomicBool = AtomicBool::new(false);

/// How often a flush is tried again whose month's partition came or went.
const RETRIES: u32 = 5;

pub(super) struct Lane {
    pub pool: Pool,
    pub settings: PgWriterSettings,
    pub metrics: Metrics,
    pub clock: Clock,
    pub on_commit: OnCommit,
    /// Set when something was written: there are changes to fold.
    pub has_written: Rc<AtomicBool>,
    /// Set when something of an incident is still to be made up for.
    pub lacks_upkeep: Rc<AtomicBool>,
    /// Months whose partition is known to exist.
    pub months: HashSet<NaiveDate>,
}

impl Lane {
    /// Flushes until the queue is closed and empty.
    pub async fn run(mut self, queue: LaneEnd) {
        let mut incoming = queue.take().await;
        loop {
            let batch = self.collect(&mut incoming).await;
            if batch.is_empty() {
                return;
            }
            self.write(batch).await;
        }
    }

    /// Everything that waits, within the bounds of a flush. Repeats join the audit that they repeat; an audit with a key
    /// that the flush has already, but another content, waits for the next one. Empty only at the end.
    async fn collect(&self, incoming: &mut Incoming) -> Vec<Pending> {
        let mut batch: Vec<Pending> = Vec::new();
        let mut places: HashMap<Sameness, usize> = HashMap::new();
        let mut again = VecDeque::new();
        let mut bytes = 0;
        while batch.len() < self.settings.flush_max_rows && bytes < self.settings.flush_max_bytes {
            let Some(next) = incoming.next(batch.is_empty() && again.is_empty()).await else { break };
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
                    first.spans.extend(next.spans);
                    drop(next.room);
                }
                Some(_) => again.push_back(next),
            }
        }
        incoming.defer(again);
        batch
    }

    #[cfg(debug_assertions)]
    fn panic_if_asked() {
        assert!(!PANIC.swap(false, Ordering::SeqCst), "a test asked for it");
    }

    /// Writes a batch. Where a row is at fault the batch is halved until that row fails alone.
    async fn write(&mut self, batch: Vec<Pending>) {
        #[cfg(debug_assertions)]
        Self::panic_if_asked();
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            match self.write_traced(&batch).await {
                Ok(dispositions) => self.acknowledge(batch, dispositions),
                Err(error) if error.fault.is_of_a_row() && batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    batches.push(rest);
                    batches.push(batch);
                }
                Err(error) => {
                    error.log("audits not written");
                    let error = ActorError::from(error);
                    for pending in batch {
                        pending.answer(Err(error.clone()), &self.metrics);
                    }
                }
            }
        }
    }

    fn acknowledge(&self, batch: Vec<Pending>, dispositions: Vec<Disposition>) {
        let mut jobs = Vec::new();
        for (pending, disposition) in batch.into_iter().zip(dispositions) {
            let id = pending.audit.envelope().id;
            match (&disposition, &pending.audit) {
                (Disposition::New, Audit::Remediation(audit)) if self.settings.embedding_claim.is_some() => {
                    jobs.push(EmbeddingJob {
                        id,
                        remediation_request_id: audit.remediation_request_id.clone(),
                        received_at: audit.envelope.received_at,
                        text: AuditText::of(audit),
                    });
                }
                _ => {}
            }
            let result = match disposition {
                Disposition::New => Ok(Written { id, replayed: false }),
                Disposition::Replay(id) => Ok(Written { id, replayed: true }),
                Disposition::KeyReused => Err(ActorError::KeyReused),
            };
            pending.answer(result, &self.metrics);
        }
        self.has_written.store(true, Ordering::Relaxed);
        if !jobs.is_empty() {
            (self.on_commit)(jobs);
        }
    }

    /// Writes a batch, under a span of its own where requests of the batch are traced: both are linked with each other.
    async fn write_traced(&mut self, batch: &[Pending]) -> Result<Vec<Disposition>, DatabaseError> {
        let requests: Vec<&OpenSpan> = batch.iter().flat_map(|pending| &pending.spans).collect();
        if requests.is_empty() {
            return self.write_together(batch).await;
        }
        let (span, started) = (OpenSpan::new(SpanIds::root()), Instant::now());
        let result = Waiting::of_span(Some(span.clone())).carry(self.write_together(batch)).await;
        requests.iter().for_each(|request| request.link(span.ids));
        trace::record(Span {
            ids: span.ids,
            parent: None,
            kind: SpanKind::Internal,
            name: "flush".to_owned(),
            ended: trace::now(),
            took: started.elapsed(),
            attributes: vec![("datastorage.audits", i64::try_from(batch.len()).unwrap_or(i64::MAX).into())],
            links: requests.iter().map(|request| request.ids).collect(),
            error: result.as_ref().err().map(ToString::to_string),
        });
        result
    }

    async fn write_together(&mut self, batch: &[Pending]) -> Result<Vec<Disposition>, DatabaseError> {
        let audits: Vec<&Audit> = batch.iter().map(|pending| &pending.audit).collect();
        let mut tries = 0;
        let flushed = loop {
            match self.try_together(&audits).await {
                // A partition that was there is gone, or one that was not is made by another process.
                Err(error) if error.fault == DatabaseFault::Partition && tries < RETRIES && self.is_awaited(batch) => {
                    self.months.clear();
                }
                result => break result?,
            }
            tries += 1;
        };
        self.metrics.flush_rows.observe(batch.len() as f64); // at most FLUSH_MAX_ROWS
        for (count, fact) in flushed.conflicts.iter().zip(identifying()) {
            let field = fact.filter.unwrap_or(fact.column);
            self.metrics.fact_conflicts_total.with_label_values(&[field]).inc_by(*count);
        }
        Ok(flushed.dispositions)
    }

    /// Whether some request of a batch still waits.
    fn is_awaited(&self, batch: &[Pending]) -> bool {
        batch.iter().any(|pending| pending.queued_at.elapsed() < self.settings.deadline)
    }

    async fn try_together(&mut self, audits: &[&Audit]) -> Result<Flushed, DatabaseError> {
        let mut connection = self.pool.get().await?;
        let missing: BTreeSet<NaiveDate> = audits
            .iter()
            .filter_map(|audit| match audit {
                Audit::Remediation(audit) => Some(month_of(audit.created_at)),
                Audit::Workflow(_) => None,
            })
            .filter(|month| !self.months.contains(month))
            .collect();
        if !missing.is_empty() {
            partitions::create(&mut connection, &missing, self.settings.deadline).await?;
            self.months.extend(missing);
        }
        // Past this limit all requests have been answered long ago.
        let limit = self.settings.deadline * 2;
        let (settings, now) = (&self.settings, (self.clock)());
        let flushed =
            connection.transaction("pg_writer.flush", limit, async |tx| flush(tx, audits, settings, now).await).await?;
        if !flushed.due.is_empty()
            && let Err(error) = flushed.due.write(&mut connection).await
        {
            // The audits are committed: they are acknowledged, and the note on their incidents stays.
            error.log("attempts not written; a later turn tries again");
            self.lacks_upkeep.store(true, Ordering::Relaxed);
        }
        Ok(flushed)
    }
}
