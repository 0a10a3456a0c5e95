//! A lane: one flush at a time, of everything that waits.

use super::flush::{Direct, Disposition, Flushed, flush};
use super::queue::{Incoming, LaneEnd, Pending, Sameness, WriteQueue};
use super::{Audit, OnCommit, PgWriterSettings, Written, partitions};
use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::transaction::Transaction;
use crate::domain::audit_text::AuditText;
use crate::domain::embedding_job::EmbeddingJob;
use crate::domain::facts::identifying;
use crate::domain::time::{Clock, month_of};
use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::shards::Nodes;
use crate::shards::ShardMap;
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
    pub queue: WriteQueue,
    pub nodes: Rc<Nodes>,
    /// Numbers of incidents that are this lane's, from the sequence on the coordinator.
    pub numbers: Vec<i64>,
}

/// What goes together in one flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    /// The number of the shard; `None` where that is not known, or the tables are whole.
    shard: Option<usize>,
    /// Whether all that is written is in this shard, and the flush goes straight to its node.
    is_direct: bool,
}

/// How many numbers of incidents are taken from the sequence at once.
const NUMBERS: i64 = 4096;

const TAKE_NUMBERS: &str = "-- pg_writer.take_numbers
SELECT nextval('incident_number') FROM generate_series(1, $1::bigint) AS n (n)";

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
        let shards = self.queue.shards();
        let mut route = None;
        while batch.len() < self.settings.flush_max_rows && bytes < self.settings.flush_max_bytes {
            let Some(next) = incoming.next(batch.is_empty() && again.is_empty()).await else { break };
            if next.queued_at.elapsed() > self.settings.deadline {
                // Its requests have been answered 503; after a long stop the living come first.
                next.answer(Err(ActorError::Unavailable("the request took too long")), &self.metrics);
                continue;
            }
            let own = self.route(&shards, &next.audit);
            if *route.get_or_insert(own) != own {
                again.push_back(next);
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

    fn route(&self, shards: &ShardMap, audit: &Audit) -> Route {
        let envelope = audit.envelope();
        let shard = shards.of_bucket(envelope.bucket());
        let is_alone = || {
            let has_tie = matches!(audit, Audit::Workflow(audit) if audit.remediation_request_id.is_some());
            envelope.recognition.key().is_none() && !has_tie
        };
        let direct = self.settings.pool.database.distribution().is_some_and(|distribution| distribution.direct);
        Route { shard, is_direct: direct && shard.is_some() && is_alone() }
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
            // A flush is a large future, and there are two kinds: they are not to lie on the thread's stack.
            match Box::pin(self.try_together(&audits)).await {
                // A partition that was there is gone, or one that was not is made by another process.
                Err(error) if error.fault == DatabaseFault::Partition && tries < RETRIES && self.is_awaited(batch) => {
                    self.months.clear();
                }
                // The shard was moved, and its tables there may be gone already.
                Err(error) if self.may_have_moved(&error) && tries < RETRIES && self.is_awaited(batch) => {
                    match ShardMap::read(&self.pool).await {
                        Ok(shards) => self.queue.set_shards(shards),
                        Err(_) => break Err(error)?,
                    }
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

    /// So many numbers of incidents, which are nobody else's. What is not used is lost: there are enough.
    async fn take_numbers(&mut self, connection: &mut Connection, count: usize) -> Result<Vec<i64>, DatabaseError> {
        if self.numbers.len() < count {
            let more = NUMBERS.max(i64::try_from(count).unwrap_or(i64::MAX));
            let take = async |tx: &mut Transaction<'_>| {
                let take = tx.prepare(TAKE_NUMBERS).await?;
                tx.client().query(&take, &[&more]).await
            };
            let rows = connection.autocommit("pg_writer.take_numbers", self.settings.deadline, take).await?;
            self.numbers = rows.iter().map(|row| row.get(0)).collect();
        }
        Ok(self.numbers.split_off(self.numbers.len() - count))
    }

    /// Whether the shard of a flush may be elsewhere: it was not there, or its tables are gone already.
    fn may_have_moved(&self, error: &DatabaseError) -> bool {
        let is_distributed = self.settings.pool.database.distribution().is_some();
        is_distributed && matches!(error.fault, DatabaseFault::Moved | DatabaseFault::Schema)
    }

    /// Whether some request of a batch still waits.
    fn is_awaited(&self, batch: &[Pending]) -> bool {
        batch.iter().any(|pending| pending.queued_at.elapsed() < self.settings.deadline)
    }

    async fn try_together(&mut self, audits: &[&Audit]) -> Result<Flushed, DatabaseError> {
        let pool = self.pool.clone();
        let mut connection = pool.get().await?;
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
        let now = (self.clock)();
        let shards = self.queue.shards();
        // What was one shard when the batch was collected may have been split.
        let mut routes = audits.iter().map(|audit| self.route(&shards, audit));
        let route = routes.next().filter(|first| routes.all(|route| route == *first));
        let direct = route.filter(|route| route.is_direct).and_then(|route| shards.shards.get(route.shard?));
        let flushed = match direct {
            None => {
                let settings = &self.settings;
                let work = async |tx: &mut Transaction<'_>| Box::pin(flush(tx, audits, settings, now, None)).await;
                connection.transaction("pg_writer.flush", limit, work).await?
            }
            Some(shard) => {
                let numbers = self.take_numbers(&mut connection, audits.len()).await?;
                let direct = Direct { shard, numbers };
                let pool = self.nodes.pool(&shard.node, "write_node", &self.settings.pool, &self.metrics);
                let mut connection = pool.get().await?;
                let settings = &self.settings;
                let work =
                    async |tx: &mut Transaction<'_>| Box::pin(flush(tx, audits, settings, now, Some(&direct))).await;
                connection.transaction("pg_writer.flush", limit, work).await?
            }
        };
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
