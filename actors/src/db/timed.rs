//! Transactions have names; this times them under those names.

use crate::error::ActorError;
use crate::metrics::Metrics;
use std::future::Future;
use std::time::Instant;

/// Runs a transaction, records its time under its name, and maps its error.
///
/// # Errors
/// What the database's error means (`sqlstate::handle`).
pub async fn timed<T>(
    metrics: &Metrics,
    name: &'static str,
    transaction: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ActorError> {
    timed_raw(metrics, name, transaction).await.map_err(|error| super::sqlstate::handle(&error, name))
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
