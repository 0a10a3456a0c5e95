//! What the connections of a pool share: how far they are to be trusted, and how transactions went of late.

use super::ConnectError;
use super::sqlstate::{DatabaseError, DatabaseFault};
use crate::metrics::Metrics;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the connections of a pool share.
pub(crate) struct PoolState {
    pub(super) name: &'static str,
    /// `None` for a connection outside of any pool.
    metrics: Option<Metrics>,
    /// How often the pool has come to doubt its connections. Those from before the last doubt show that they are good before they are used.
    generation: AtomicU64,
    /// Connections of an earlier generation are not used again.
    lost: AtomicU64,
    /// Set while no connection can be made: who asks then is told so at once.
    pub(super) away: AtomicBool,
    born: Instant,
    /// Milliseconds after `born` of the last transaction that succeeded; 0 before the first.
    succeeded: AtomicU64,
    failing: Mutex<Option<Failing>>,
    /// When it was last told what time does not mend.
    told: Mutex<Option<Instant>>,
    /// When the size of the database was looked at last.
    measured: Mutex<Option<Instant>>,
    /// Why no connection could be made, the last time that one could not.
    refusal: Mutex<DatabaseFault>,
}

/// The requests that failed since one succeeded.
#[derive(Debug, Clone, Copy)]
struct Failing {
    first: Instant,
    last: Instant,
    /// Why the last one failed.
    fault: DatabaseFault,
    /// It got no connection. A connection that is had later shows that this is over; of a statement that fails it shows nothing.
    is_unconnected: bool,
}

/// Requests of which none has succeeded for this long tell that the database does not serve them.
const FAILING: Duration = Duration::from_secs(10);
/// What failed longer ago than this says nothing of the present any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

impl PoolState {
    pub(super) fn alone() -> Self {
        Self::new("alone", None)
    }

    pub(super) fn new(name: &'static str, metrics: Option<Metrics>) -> Self {
        PoolState {
            name,
            metrics,
            generation: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            away: AtomicBool::new(false),
            born: Instant::now(),
            succeeded: AtomicU64::new(0),
            failing: Mutex::default(),
            told: Mutex::default(),
            measured: Mutex::default(),
            refusal: Mutex::new(DatabaseFault::Unreachable),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// A statement got no answer in time: slow, or the way to the server is silent. The other connections are to show that they are good.
    pub(super) fn doubt(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Connections that have not shown themselves good since this generation are not used again.
    pub(super) fn lose(&self, generation: u64) {
        self.lost.fetch_max(generation, Ordering::SeqCst);
    }

    pub(super) fn is_lost(&self, generation: u64) -> bool {
        generation < self.lost.load(Ordering::SeqCst)
    }

    /// Notes how a transaction went.
    pub(super) fn record(&self, name: &'static str, time: Duration, error: Option<&DatabaseError>) {
        if let Some(metrics) = &self.metrics {
            metrics.db_transaction_duration_seconds.with_label_values(&[name]).observe(time.as_secs_f64());
        }
        if error.is_none() {
            let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.succeeded.store(millis.max(1), Ordering::Relaxed);
        }
        if self.is_of_requests(name) {
            match error {
                Some(error) => self.note_failure(error.fault, false),
                None => *self.failing() = None,
            }
        }
    }

    /// Whether transactions of this name are what the pool's clients wait for.
    fn is_of_requests(&self, transaction: &str) -> bool {
        let prefix = match self.name {
            "write" => "pg_writer.flush",
            "read" => "query.",
            "vector_write" => "vector_writer.write_",
            _ => "similarity.",
        };
        transaction.starts_with(prefix)
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that there was no connection for whoever asked, and why.
    pub(super) fn note_unconnected(&self, fault: DatabaseFault) {
        self.note_failure(fault, true);
    }

    /// Notes that somebody got a connection.
    pub(super) fn note_connected(&self) {
        self.failing().take_if(|failing| failing.is_unconnected);
    }

    /// Notes why a request was not served. That a pool is busy, or that a client has gone, is no fault of the database.
    fn note_failure(&self, fault: DatabaseFault, is_unconnected: bool) {
        use DatabaseFault::{Abandoned, Busy, Conflict, Partition};
        if matches!(fault, Busy | Abandoned | Conflict | Partition) {
            return;
        }
        let now = Instant::now();
        let mut failing = self.failing();
        let first = failing.filter(|it| now - it.last < FORGOTTEN).map_or(now, |it| it.first);
        *failing = Some(Failing { first, last: now, fault, is_unconnected });
    }

    /// Why requests fail, where they did for a while and none succeeded.
    pub(super) fn why_failing(&self) -> Option<DatabaseFault> {
        let failing = (*self.failing())?;
        (failing.last - failing.first >= FAILING && failing.last.elapsed() < FORGOTTEN).then_some(failing.fault)
    }

    /// Notes why no connection could be made.
    pub(super) fn note_refusal(&self, error: &ConnectError) {
        let fault = match error {
            ConnectError::Database(error) => DatabaseFault::of_connecting(error),
            ConnectError::Foreign(_) => DatabaseFault::Foreign,
            ConnectError::Nameless => DatabaseFault::Schema,
            ConnectError::Late => DatabaseFault::Unreachable,
        };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Whether what time does not mend may be told again: once a minute.
    pub(super) fn may_tell(&self) -> bool {
        is_due(&self.told, FORGOTTEN)
    }

    /// Has the next probe look at the size of the database.
    pub(super) fn measure_again(&self) {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the size of the database may be looked at again.
    pub(super) fn may_measure(&self, every: Duration) -> bool {
        is_due(&self.measured, every)
    }

    pub(super) fn refusal(&self) -> DatabaseFault {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_succeeded_within(&self, time: Duration) -> bool {
        match self.succeeded.load(Ordering::Relaxed) {
            0 => false,
            millis => self.born.elapsed().saturating_sub(Duration::from_millis(millis)) <= time,
        }
    }
}

/// Whether the last time is so long ago; now becomes the last time then.
fn is_due(last: &Mutex<Option<Instant>>, every: Duration) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
