//! What waits for its flush. The queue outlives the actor: what waited when a lane panicked is written by the next one.

use super::{Audit, Written};
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::domain::content::ContentHash;
use crate::error::ActorError;
use crate::handle::RESTARTING;
use crate::metrics::Metrics;
use crate::shards::ShardMap;
use crate::trace::OpenSpan;
use crate::waiting::Waiting;
use prometheus::IntGauge;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Memory that waiting audits may take, in KiB; one audit always finds room.
const ROOM_KIB: usize = 64 * 1024;

/// An audit that waits for its flush, and the requests that wait for it.
pub(super) struct Pending {
    pub audit: Audit,
    pub bytes: usize,
    /// Its share of the queue's memory, until it leaves.
    pub room: OwnedSemaphorePermit,
    pub queued_at: Instant,
    /// The first is the request that brought the audit; the others repeat it.
    pub replies: Vec<oneshot::Sender<Result<Written, ActorError>>>,
    /// Of these requests, the spans of those that are traced.
    pub spans: Vec<OpenSpan>,
    /// Counts it until a lane takes it.
    depth: Option<Depth>,
}

/// What makes two audits of a flush the same.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Sameness {
    Id(AuditId),
    Key(ContentHash),
}

impl Pending {
    pub fn sameness(&self) -> Sameness {
        let envelope = self.audit.envelope();
        match envelope.recognition.key() {
            Some(key) => Sameness::Key(*key),
            None => Sameness::Id(envelope.id),
        }
    }

    /// Answers every request that waits.
    pub fn answer(self, result: Result<Written, ActorError>, metrics: &Metrics) {
        let table = self.audit.table();
        match &result {
            Ok(written) if written.replayed => metrics.write_replays_total.inc(),
            Ok(_) => {
                metrics.write_total.with_label_values(&[table, "success"]).inc();
                if let Audit::Remediation(audit) = &self.audit
                    && audit.status_stated
                    && audit.status.is_final()
                {
                    metrics.outcomes_total.with_label_values(&[audit.status.as_str()]).inc();
                }
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
            // A request that has stopped waiting needs no answer.
            let _ = reply.send(result);
        }
    }
}

/// The queues of all lanes. Each lane owns the shards of its number, mod their count, or where there are none the buckets: two of them never
/// touch one incident, but for the moment in which the shards become known.
#[derive(Clone)]
pub struct WriteQueue {
    lanes: Arc<Vec<LaneQueue>>,
    shards: Arc<RwLock<Arc<ShardMap>>>,
    room: Arc<Semaphore>,
    is_draining: Arc<watch::Sender<bool>>,
    depth: IntGauge,
}

struct LaneQueue {
    sender: mpsc::Sender<Pending>,
    waiting: Arc<Mutex<Line>>,
}

/// One lane's end of its queue.
struct Line {
    queue: mpsc::Receiver<Pending>,
    /// Taken from the queue, but not to be in one flush with what came before them.
    deferred: VecDeque<Pending>,
}

/// Why an audit is not queued: the metrics' word for it, and the client's.
pub(super) type NotQueued = (&'static str, &'static str);
const FULL: NotQueued = ("queue_full", "the write queue is full");
const CLOSED: NotQueued = ("down", RESTARTING);

impl WriteQueue {
    /// `capacity`: most audits that may wait for one lane. `lanes`: flushes that may be under way at once. Of whole tables one is best: two
    /// were measured to be slower on two cores, since their flushes are smaller, and more (docs/performance.md).
    pub fn new(capacity: usize, lanes: usize, metrics: &Metrics) -> Self {
        let lane = |_| {
            let (sender, queue) = mpsc::channel(capacity);
            LaneQueue { sender, waiting: Arc::new(Mutex::new(Line { queue, deferred: VecDeque::new() })) }
        };
        WriteQueue {
            lanes: Arc::new((0..lanes.max(1)).map(lane).collect()),
            shards: Arc::default(),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            is_draining: Arc::new(watch::Sender::new(false)),
            depth: metrics.write_queue_depth.clone(),
        }
    }

    /// Queues an audit; what becomes of it comes later.
    pub(super) fn put(
        &self,
        audit: Audit,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Result<Written, ActorError>>, NotQueued> {
        let (reply, written) = oneshot::channel();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(ROOM_KIB as u32); // 64 Ki
        let room = self.room.clone().try_acquire_many_owned(kib).map_err(|_| FULL)?;
        let lane = self.lane_of(audit.envelope().bucket()).ok_or(CLOSED)?;
        let depth = Some(Depth::enter(&self.depth));
        let spans = Waiting::current_span().into_iter().collect();
        let pending = Pending { audit, bytes, room, queued_at: Instant::now(), replies: vec![reply], spans, depth };
        lane.sender.try_send(pending).map_err(|fault| match fault {
            TrySendError::Full(_) => FULL,
            TrySendError::Closed(_) => CLOSED,
        })?;
        Ok(written)
    }

    fn lane_of(&self, bucket: Bucket) -> Option<&LaneQueue> {
        let number = match self.shards().of_bucket(bucket) {
            Some(shard) => shard,
            None => usize::try_from(bucket.get()).ok()?,
        };
        self.lanes.get(number % self.lanes.len())
    }

    /// Where the buckets are, as far as that is known.
    pub(super) fn shards(&self) -> Arc<ShardMap> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_shards(&self, shards: ShardMap) {
        *self.shards.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shards);
    }

    /// An end for each lane of an actor; a lane of the actor before is waited for. A lane ends when the other end of `actor` is dropped.
    pub(super) fn ends(&self, actor: watch::Receiver<()>) -> impl Iterator<Item = LaneEnd> {
        let draining = self.is_draining.subscribe();
        self.lanes.iter().map(move |lane| LaneEnd {
            waiting: lane.waiting.clone(),
            draining: draining.clone(),
            actor: actor.clone(),
        })
    }

    /// Nothing is queued any more; each lane ends when its queue is empty.
    pub(super) fn drain(&self) {
        self.is_draining.send_replace(true);
    }
}

/// How a lane comes to its queue.
pub(super) struct LaneEnd {
    waiting: Arc<Mutex<Line>>,
    draining: watch::Receiver<bool>,
    actor: watch::Receiver<()>,
}

impl LaneEnd {
    /// The queue is this lane's until it is dropped.
    pub async fn take(self) -> Incoming {
        Incoming { waiting: self.waiting.lock_owned().await, draining: self.draining, actor: self.actor }
    }
}

/// What comes to a lane.
pub(super) struct Incoming {
    waiting: OwnedMutexGuard<Line>,
    draining: watch::Receiver<bool>,
    actor: watch::Receiver<()>,
}

impl Incoming {
    /// The next audit, waited for where `patiently` is set; `None` where there is none, and at the end.
    pub async fn next(&mut self, patiently: bool) -> Option<Pending> {
        if self.actor.has_changed().is_err() {
            return None;
        }
        if let Some(deferred) = self.waiting.deferred.pop_front() {
            return Some(deferred);
        }
        let mut next = match self.waiting.queue.try_recv() {
            Ok(next) => next,
            Err(_) if patiently => self.wait().await?,
            Err(_) => return None,
        };
        next.depth = None;
        Some(next)
    }

    async fn wait(&mut self) -> Option<Pending> {
        let Line { queue, .. } = &mut *self.waiting;
        tokio::select! {
            biased;
            next = queue.recv() => return next,
            // Nothing is ever sent: the actor is gone.
            _ = self.actor.changed() => return None,
            // An error: the queue is gone, and so will be its senders.
            _ = self.draining.wait_for(|draining| *draining) => {}
        }
        queue.close();
        queue.recv().await
    }

    /// Puts audits back, before those that were deferred already.
    pub fn defer(&mut self, mut pending: VecDeque<Pending>) {
        pending.append(&mut self.waiting.deferred);
        self.waiting.deferred = pending;
    }
}

/// Counts an audit as long as it is in the queue, also where the queue is dropped.
struct Depth(IntGauge);

impl Depth {
    fn enter(gauge: &IntGauge) -> Self {
        gauge.inc();
        Depth(gauge.clone())
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        self.0.dec();
    }
}
