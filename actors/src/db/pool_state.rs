//! What the connections of a pool share: how far they are to be trusted, and how transactions went of late.

use super::sqlstate::DatabaseError;
use crate::metrics::Metrics;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
}

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
    }

    pub(super) fn has_succeeded_within(&self, time: Duration) -> bool {
        match self.succeeded.load(Ordering::Relaxed) {
            0 => false,
            millis => self.born.elapsed().saturating_sub(Duration::from_millis(millis)) <= time,
        }
    }
}
