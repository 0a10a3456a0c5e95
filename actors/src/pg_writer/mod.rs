//! The write path. Audits that wait together are committed together, each is answered after its commit, and the
//! incident of each remediation request is kept up in the same transaction.

mod attempts;
mod bury;
mod changed;
mod drain;
mod drop_windowed_keys;
mod fact_column;
mod fill_workloads;
mod find_replay;
mod flush;
mod lane;
mod partitions;
mod probe_nodes;
mod queue;
mod write_remediation_audit;
mod write_workflow_audit;

pub use drain::Drain;
#[cfg(debug_assertions)]
pub use lane::PANIC as PANIC_IN_FLUSH;
pub use partitions::{make_partitions, name as partition_name};
pub use probe_nodes::ProbeNodes;
pub use queue::WriteQueue;
pub use write_remediation_audit::WriteRemediationAudit;
pub use write_workflow_audit::WriteWorkflowAudit;

use crate::db::pool::{Pool, PoolSettings};
use crate::db::sqlstate::DatabaseFault;
use crate::domain::audit::{Envelope, Recognition};
use crate::domain::audit_id::AuditId;
use crate::domain::embedding_job::EmbeddingJob;
use crate::domain::remediation::RemediationAudit;
use crate::domain::time::{Clock, TimeWindow};
use crate::domain::workflow::WorkflowAudit;
use crate::error::ActorError;
use crate::handle::{Probe, common_handlers};
use crate::metrics::Metrics;
use crate::shards::{Nodes, ShardMap};
use crate::supervise::Alive;
use crate::totals::{Generations, count_all, fold_totals};
use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};
use lane::Lane;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot, watch};

/// Told the texts of a flush after its commit. It must not wait.
pub type OnCommit = Arc<dyn Fn(Vec<EmbeddingJob>) + Send + Sync>;

#[derive(Clone)]
pub struct PgWriterSettings {
    pub pool: PoolSettings,
    /// Most audits of one flush, and most bytes of their texts.
    pub flush_max_rows: usize,
    pub flush_max_bytes: usize,
    /// How long an audit may wait.
    pub deadline: Duration,
    /// How long the content of a body without any time is remembered.
    pub replay_window: Duration,
    /// Which times are kept.
    pub window: TimeWindow,
    /// How long this service has for the vector of an audit before others may make it; `None` where there is no embedder.
    pub embedding_claim: Option<Duration>,
}

pub struct PgWriterActor {
    settings: PgWriterSettings,
    /// Outlives the actor.
    queue: WriteQueue,
    metrics: Metrics,
    clock: Clock,
    on_commit: OnCommit,
    /// From the start to the drain.
    pool: Option<Pool>,
    /// Dropped with the actor: its lanes end then.
    here: Option<watch::Sender<()>>,
    /// Pools of the nodes that flushes go straight to.
    nodes: Rc<Nodes>,
    /// Answered when a lane has ended.
    ended: Vec<oneshot::Receiver<()>>,
    /// One permit: one fold at a time.
    folding: Arc<Semaphore>,
    generations: Rc<Generations>,
    /// Whether there may be changes to fold.
    has_changes: Rc<AtomicBool>,
    /// Whether there may be incidents of which something is to be made up for.
    lacks_upkeep: Rc<AtomicBool>,
    /// When the last window of an untimed body will be over; `None` once it is, and its content is forgotten.
    windows_end: Option<Instant>,
    _alive: Alive,
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

/// How often changes are folded into the totals while this service writes, and how often it is looked for those of others.
const FOLD: Duration = Duration::from_secs(2);
const FOLD_AT_LEAST: Duration = Duration::from_secs(20);
/// How often windowed keys are forgotten, and what is lacking is made up for.
const FORGET: Duration = Duration::from_secs(20);
/// How often partitions are looked after.
const UPKEEP: Duration = Duration::from_secs(3600);

/// How often it is looked where the shards are, until that is known, and then.
const LOOK_FOR_SHARDS: Duration = Duration::from_secs(1);
const SHARDS_MOVE: Duration = Duration::from_secs(30);

impl PgWriterActor {
    pub fn new(
        settings: PgWriterSettings,
        queue: WriteQueue,
        metrics: Metrics,
        clock: Clock,
        on_commit: OnCommit,
        alive: Alive,
    ) -> Self {
        PgWriterActor {
            settings,
            queue,
            metrics,
            clock,
            on_commit,
            pool: None,
            here: None,
            nodes: Rc::default(),
            ended: Vec::new(),
            folding: Arc::new(Semaphore::new(1)),
            generations: Rc::default(),
            has_changes: Rc::new(AtomicBool::new(true)),
            lacks_upkeep: Rc::new(AtomicBool::new(true)),
            windows_end: Some(Instant::now()),
            _alive: alive,
        }
    }

    /// The pool, from the start to the drain.
    pub(crate) fn pool(&self) -> Result<Pool, ActorError> {
        self.pool.clone().ok_or(ActorError::Unavailable("the writer is stopping"))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Folds the totals, unless there is nothing to fold or the last fold is still under way.
    fn fold(&self) {
        if !self.has_changes.load(Ordering::Relaxed) {
            return;
        }
        let (Ok(pool), Ok(turn)) = (self.pool(), self.folding.clone().try_acquire_owned()) else { return };
        let (has_changes, generations) = (self.has_changes.clone(), self.generations.clone());
        has_changes.store(false, Ordering::Relaxed);
        actix::spawn(async move {
            if !fold_totals(&pool, &generations).await {
                has_changes.store(true, Ordering::Relaxed);
            }
            drop(turn);
        });
    }

    /// Forgets the contents of untimed bodies whose window is over.
    fn forget(&mut self) {
        let (Ok(pool), Some(end)) = (self.pool(), self.windows_end) else { return };
        if end < Instant::now() {
            self.windows_end = None;
        }
        let until = window_start(self.now(), self.settings.replay_window);
        actix::spawn(async move { drop_windowed_keys::drop_windowed_keys(&pool, until).await });
    }

    /// Makes up for workloads and counts that older programs left out, and for attempts that a crash left out.
    fn make_up(&self) {
        let Ok(pool) = self.pool() else { return };
        let lacks = self.lacks_upkeep.clone();
        if lacks.swap(false, Ordering::Relaxed) {
            actix::spawn(async move {
                let (filled, caught_up) =
                    (fill_workloads::fill_workloads(&pool).await, attempts::catch_up(&pool).await);
                if !(filled && caught_up && count_all(&pool).await) {
                    lacks.store(true, Ordering::Relaxed);
                }
            });
        }
    }

    /// Looks where the shards are. Until that is known a flush may be one of several nodes.
    fn find_shards(&self) {
        let Ok(pool) = self.pool() else { return };
        let queue = self.queue.clone();
        actix::spawn(async move {
            match ShardMap::read(&pool).await {
                Ok(shards) => queue.set_shards(shards),
                // Before the first migration there are none.
                Err(error) if error.fault == DatabaseFault::Schema => {}
                Err(error) => error.log("the shards are not known; the next turn looks again"),
            }
        });
    }

    /// Looks after the partitions of the months to come.
    fn keep_ahead(&self) {
        let (pool, now) = (self.pool(), self.now());
        actix::spawn(async move {
            let Ok(pool) = pool else { return };
            let made = async {
                let mut connection = pool.get().await?;
                make_partitions(&mut connection, now).await
            };
            if let Err(error) = made.await {
                tracing::warn!(%error, "partitions not made ahead of time");
            }
        });
    }

    /// Queues an audit for the next flush and waits for its commit; one with a stale time is only looked up.
    fn write(&mut self, audit: Audit, bytes: usize) -> ResponseFuture<Result<Written, ActorError>> {
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        if let Some(stale) = &audit.envelope().stale {
            let (stale, limit) = (stale.clone(), self.settings.deadline);
            let envelope = audit.envelope().clone();
            return Box::pin(async move {
                let replay = find_replay::find_replay(&pool, &envelope, limit).await?;
                replay.ok_or(ActorError::Invalid(stale))
            });
        }
        if matches!(audit.envelope().recognition, Recognition::Window(_)) {
            self.windows_end = Some(Instant::now() + self.settings.replay_window);
        }
        match self.queue.put(audit, bytes) {
            // A lane drops a reply only when it panics.
            Ok(written) => Box::pin(async move { written.await.unwrap_or(Err(ActorError::Internal)) }),
            Err((reason, words)) => {
                self.metrics.actor_rejected_total.with_label_values(&["pg_writer", reason]).inc();
                Box::pin(async move { Err(ActorError::Unavailable(words)) })
            }
        }
    }
}

impl Actor for PgWriterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pool = Pool::new(&self.settings.pool, &self.metrics);
        let (here, actor) = watch::channel(());
        self.here = Some(here);
        for queue in self.queue.ends(actor) {
            let lane = Lane {
                pool: pool.clone(),
                settings: self.settings.clone(),
                metrics: self.metrics.clone(),
                clock: self.clock.clone(),
                on_commit: self.on_commit.clone(),
                has_written: self.has_changes.clone(),
                lacks_upkeep: self.lacks_upkeep.clone(),
                months: HashSet::new(),
                queue: self.queue.clone(),
                nodes: self.nodes.clone(),
                numbers: Vec::new(),
            };
            let (ending, end) = oneshot::channel();
            let lane = actix::spawn(async move {
                lane.run(queue).await;
                // Only a drain listens.
                let _ = ending.send(());
            });
            // A lane ends with its actor, and an actor with its lane.
            ctx.spawn(lane.into_actor(self).map(|_, _, ctx| ctx.stop()));
            self.ended.push(end);
        }
        ctx.run_interval(FOLD, |actor, _| actor.fold());
        ctx.run_interval(FOLD_AT_LEAST, |actor, _| actor.has_changes.store(true, Ordering::Relaxed));
        ctx.run_interval(FORGET, |actor, _| {
            actor.forget();
            actor.make_up();
        });
        ctx.run_interval(UPKEEP, |actor, _| {
            // Also what other services have left.
            actor.windows_end.get_or_insert_with(Instant::now);
            actor.lacks_upkeep.store(true, Ordering::Relaxed);
            actor.keep_ahead();
        });
        self.pool = Some(pool);
        if self.settings.pool.database.distribution().is_some() {
            self.find_shards();
            ctx.run_interval(LOOK_FOR_SHARDS, |actor, _| {
                if actor.queue.shards().shards.is_empty() {
                    actor.find_shards();
                }
            });
            ctx.run_interval(SHARDS_MOVE, |actor, _| actor.find_shards());
        }
    }
}

common_handlers!(PgWriterActor);

impl Handler<Probe> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { Ok(pool?.probe().await?) })
    }
}
