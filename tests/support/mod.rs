//! What the tests share: one PostgreSQL for a test process, and a database and a service of its own for every test.
#![allow(dead_code)] // each test target uses its part

pub mod api_server;
pub mod certificates;
mod postgres;
pub mod proxy;
mod service;
pub mod tls_front;

#[allow(unused_imports)] // as above
pub use postgres::{Database, Server, server};
#[allow(unused_imports)] // as above
pub use service::{Answer, Service, Writer, gateway_audit, now};

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Waits until a condition holds; fails the test when it does not within 20 seconds.
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(20), what, check).await
}

/// Like [`eventually`], for conditions that may take up to a minute.
pub async fn eventually_long<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(60), what, check).await
}

pub async fn within<T>(limit: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
