//! The write path. Audits that wait together are committed together, each is answered after its commit, and the
//! incident of each remediation request is kept up in the same transaction.

mod claim_outbox;
mod clear_outbox;
mod columns;
mod drain;
mod drop_months;
mod drop_windowed_keys;
mod find_replay;
mod flush;
pub(crate) mod fold_totals;
mod forget_incidents;
mod lane;
mod list_dropped;
mod measure_outbox;
mod partitions;
mod read_facts;
mod set_aside;
mod write_remediation_audit;
mod write_workflow_audit;

pub use claim_outbox::ClaimOutbox;
pub use clear_outbox::ClearOutbox;
pub use drain::Drain;
pub use drop_months::DropMonths;
pub use forget_incidents::ForgetIncidents;
#[cfg(debug_assertions)]
pub use lane::PANIC as PANIC_IN_FLUSH;
pub use list_dropped::{DroppedIncident, ListDropped};
pub use measure_outbox::{MeasureOutbox, OutboxSize};
pub use partitions::make_partitions;
pub use read_facts::{CopiedFacts, ReadFacts};
pub use set_aside::SetAside;
pub use write_remediation_audit::WriteRemediationAudit;
pub use write_workflow_audit::WriteWorkflowAudit;

use crate::db::pool::{Pool, PoolSettings};
use crate::domain::audit::Envelope;
use crate::domain::audit_id::AuditId;
use crate::domain::audit_text::AuditText;
use crate::domain::bucket::Bucket;
use crate::domain::remediation::RemediationAudit;
use crate::domain::time::{Clock, TimeWindow};
use crate::domain::workflow::WorkflowAudit;
use crate::error::ActorError;
use crate::handle::{Probe, RESTARTING, common_handlers};
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use lane::{Lane, Pending};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Semaphore, oneshot};

/// One audit that is to be embedded, and whose incident has changed.
#[derive(Debug, Clone)]
pub struct EmbeddingJob {
    pub id: AuditId,
    pub remediation_request_id: String,
    pub received_at: DateTime<Utc>,
    pub text: AuditText,
}

impl EmbeddingJob {
    /// The memory that its text takes, rounded up.
    pub(crate) fn kib(&self) -> usize {
        let text = [&self.text.alert_name, &self.text.reasoning, &self.text.error_message];
        text.iter().map(|part| part.as_ref().map_or(0, String::len)).sum::<usize>() / 1024 + 1
    }
}

/// Told the texts of a flush after its commit. It must not wait.
pub type OnCommit = Arc<dyn Fn(Vec<EmbeddingJob>) + Send + Sync>;

#[derive(Clone)]
pub struct PgWriterSettings {
    pub pool: PoolSettings,
    /// Most audits of one flush, and most bytes of their texts.
    pub flush_max_rows: usize,
    pub flush_max_bytes: usize,
    /// Most audits that may wait for a flush.
    pub queue: usize,
    /// How long an audit may wait.
    pub deadline: Duration,
    /// How long the content of a body without any time is remembered.
    pub replay_window: Duration,
    /// Which times are kept.
    pub window: TimeWindow,
    /// Whether audits get a row in the outbox.
    pub embed: bool,
}

pub struct PgWriterActor {
    settings: PgWriterSettings,
    metrics: Metrics,
    clock: Clock,
    on_commit: OnCommit,
    running: Option<Running>,
    /// Memory that waiting audits may take, in KiB.
    room: Arc<Semaphore>,
    /// One permit: one fold at a time.
    folding: Arc<Semaphore>,
    _alive: Alive,
}

/// What lives on the actor's own runtime.
struct Running {
    pool: Pool,
    /// Each owns the buckets of its number, mod their count: two of them never touch one incident.
    lanes: Vec<mpsc::Sender<Pending>>,
    /// Answered when a lane has ended.
    ended: Vec<oneshot::Receiver<()>>,
}

impl Running {
    fn lane_of(&self, bucket: Bucket) -> Option<&mpsc::Sender<Pending>> {
        let number = usize::try_from(bucket.get()).ok()?;
        self.lanes.get(number % self.lanes.len())
    }
}

/// What was claimed by then is out of its window.
fn window_start(now: DateTime<Utc>, window: Duration) -> DateTime<Utc> {
    let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
    now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH)
}

/// How an audit was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub id: AuditId,
    /// Whether it had been written before.
    pub replayed: bool,
}

/// Either kind of audit, on its way through a flush.
pub(crate) enum Audit {
    Remediation(Box<RemediationAudit>),
    Workflow(Box<WorkflowAudit>),
}

impl Audit {
    fn envelope(&self) -> &Envelope {
        match self {
            Audit::Remediation(audit) => &audit.envelope,
            Audit::Workflow(audit) => &audit.envelope,
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Audit::Remediation(_) => "remediation_audit",
            Audit::Workflow(_) => "workflow_audit",
        }
    }
}

/// Memory that waiting audits may take, in KiB; one audit always finds room.
const QUEUE_KIB: usize = 64 * 1024;
/// Flushes that may be under way at once. Two were measured to be slower on two cores: their flushes are smaller, and more
/// (docs/performance.md).
const LANES: usize = 1;
/// Why an audit is not queued: the metrics' word for it, and the client's.
const FULL: (&str, &str) = ("queue_full", "the write queue is full");
const DIED: (&str, &str) = ("down", RESTARTING);
/// How often deltas are folded into the totals.
const FOLD: Duration = Duration::from_millis(500);
/// How often windowed keys are forgotten.
const FORGET: Duration = Duration::from_secs(20);
/// How often partitions are looked after.
const UPKEEP: Duration = Duration::from_secs(3600);

impl PgWriterActor {
    pub fn new(settings: PgWriterSettings, metrics: Metrics, clock: Clock, on_commit: OnCommit, alive: Alive) -> Self {
        PgWriterActor {
            settings,
            metrics,
            clock,
            on_commit,
            running: None,
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            folding: Arc::new(Semaphore::new(1)),
            _alive: alive,
        }
    }

    /// The pool, from the start to the drain.
    fn pool(&self) -> Result<Pool, ActorError> {
        let running = self.running.as_ref().ok_or(ActorError::Unavailable("the writer is stopping"))?;
        Ok(running.pool.clone())
    }

    /// Folds the totals, unless the last fold is still under way.
    fn fold(&self) {
        let (Ok(pool), Ok(turn)) = (self.pool(), self.folding.clone().try_acquire_owned()) else { return };
        let metrics = self.metrics.clone();
        actix::spawn(async move {
            fold_totals::fold_totals(&pool, &metrics).await;
            drop(turn);
        });
    }

    /// Forgets the contents of untimed bodies whose window is over.
    fn forget(&self) {
        let Ok(pool) = self.pool() else { return };
        let (metrics, until) = (self.metrics.clone(), window_start((self.clock)(), self.settings.replay_window));
        actix::spawn(async move { drop_windowed_keys::drop_windowed_keys(&pool, &metrics, until).await });
    }

    /// Queues an audit for the next flush and waits for its commit; one with a stale time is only looked up.
    fn write(&self, audit: Audit, bytes: usize) -> ResponseFuture<Result<Written, ActorError>> {
        let Some(running) = &self.running else {
            return Box::pin(async { Err(ActorError::Unavailable("the writer is stopping")) });
        };
        if let Some(stale) = &audit.envelope().stale {
            let stale = stale.clone();
            let (pool, metrics, envelope) = (running.pool.clone(), self.metrics.clone(), audit.envelope().clone());
            return Box::pin(async move {
                let replay = find_replay::find_replay(&pool, &metrics, &envelope).await?;
                replay.ok_or(ActorError::Invalid(stale))
            });
        }
        let (reply, committed) = oneshot::channel();
        let bucket = audit.envelope().bucket();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(QUEUE_KIB as u32); // 64 Ki
        let queued = self.room.clone().try_acquire_many_owned(kib).map_err(|_| FULL).and_then(|room| {
            let pending = Pending { audit, bytes, room, queued_at: Instant::now(), replies: vec![reply] };
            let lane = running.lane_of(bucket).ok_or(DIED)?;
            lane.try_send(pending).map_err(|fault| if matches!(fault, TrySendError::Full(_)) { FULL } else { DIED })
        });
        if let Err((reason, words)) = queued {
            self.metrics.actor_rejected_total.with_label_values(&["pg_writer", reason]).inc();
            return Box::pin(async move { Err(ActorError::Unavailable(words)) });
        }
        self.metrics.write_queue_depth.inc();
        Box::pin(async move {
            // The lane drops a reply only when it panics.
            committed.await.unwrap_or(Err(ActorError::Internal))
        })
    }
}

impl Actor for PgWriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pool = Pool::new(&self.settings.pool, &self.metrics);
        let (mut lanes, mut ended) = (Vec::new(), Vec::new());
        for _ in 0..LANES {
            let (sender, receiver) = mpsc::channel(self.settings.queue);
            let lane = Lane::new(
                receiver,
                pool.clone(),
                self.settings.clone(),
                self.metrics.clone(),
                self.clock.clone(),
                self.on_commit.clone(),
            );
            let (ending, end) = oneshot::channel();
            let lane = actix::spawn(async move {
                lane.run().await;
                // Only a drain listens.
                let _ = ending.send(());
            });
            // A lane ends with its actor, and an actor with its lane.
            ctx.spawn(lane.into_actor(self).map(|_, _, ctx| ctx.stop()));
            lanes.push(sender);
            ended.push(end);
        }
        ctx.run_interval(FOLD, |actor, _| actor.fold());
        ctx.run_interval(FORGET, |actor, _| actor.forget());
        ctx.run_interval(UPKEEP, |actor, _| {
            if let Ok(pool) = actor.pool() {
                let today = (actor.clock)();
                actix::spawn(async move { partitions::keep_ahead(&pool, today).await });
            }
        });
        self.running = Some(Running { pool, lanes, ended });
    }
}

common_handlers!(PgWriterActor);

impl Handler<Probe> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { pool?.probe().await })
    }
}
