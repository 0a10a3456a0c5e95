//! Transactions have names; this times them under those names.

use crate::error::ActorError;
use crate::metrics::Metrics;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Runs a transaction, records its time under its name, and maps its error.
///
/// # Errors
/// What the database's error means (`sqlstate::handle`).
pub async fn timed<T>(
    metrics: &Metrics,
    name: &'static str,
    transaction: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ActorError> {
    timed_within(LIMIT, metrics, name, transaction).await
}

/// How long a transaction may take that has no limit of its own.
const LIMIT: Duration = Duration::from_secs(10);

/// As [`timed`], within this time. What takes longer is given up, and with it every connection of its age: where one has fallen
/// silent the others have too.
///
/// # Errors
/// As [`timed`]; `Unavailable` past the limit.
pub async fn timed_within<T>(
    limit: Duration,
    metrics: &Metrics,
    name: &'static str,
    transaction: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ActorError> {
    match timeout(limit, timed_raw(metrics, name, transaction)).await {
        Ok(result) => result.map_err(|error| super::sqlstate::handle(&error, name)),
        Err(_) => {
            tracing::warn!(transaction = name, "no answer within {limit:?}; connections are made anew");
            super::pool::distrust(name);
            Err(ActorError::Unavailable("PostgreSQL does not answer"))
        }
    }
}

/// As [`timed`], with the database's own error.
///
/// # Errors
/// The transaction's.
pub async fn timed_raw<T>(
    metrics: &Metrics,
    name: &'static str,
    transaction: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let started = Instant::now();
    let result = transaction.await;
    metrics.db_transaction_duration_seconds.with_label_values(&[name]).observe(started.elapsed().as_secs_f64());
    result
}
