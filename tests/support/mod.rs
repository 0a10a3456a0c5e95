//! What the tests share: one PostgreSQL a test process, a database and a service of its own for every test.
#![allow(dead_code)] // each test target uses its part

mod postgres;
mod service;

pub use postgres::{Database, server};
#[allow(unused_imports)] // as above
pub use service::{Answer, Service, Writer, gateway_audit, now};

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Waits until a condition holds; fails the test when it does not within 20 seconds.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < until, "not within 20 seconds: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
