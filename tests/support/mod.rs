//! What the tests share: one PostgreSQL for a test process, and a database and a service of its own for every test.
#![allow(dead_code)] // each test target uses its part

pub mod api_server;
pub mod certificates;
pub mod citus;
mod contract;
mod postgres;
pub mod proxy;
mod service;
pub mod tls_front;

#[allow(unused_imports)] // as above
pub use postgres::{Database, Server, server};
#[allow(unused_imports)] // as above
pub use service::{Answer, Service, Writer, data_storage, ended, gateway_audit, now, program, succeeds};

use chrono::{DateTime, Datelike, Days, Months, Utc};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Whether a tool that a test needs is there, by a call that only shows something. A test without its tool is skipped by name; where
/// `REQUIRE_TOOLS` is set that is a failure.
pub fn has(tool: &str, flag: &str) -> bool {
    let found = std::process::Command::new(tool).arg(flag).output().is_ok();
    if !found {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "{tool} is needed here");
        eprintln!("skipped: there is no {tool}");
    }
    found
}

/// When this test process began.
fn beginning() -> DateTime<Utc> {
    static BEGINNING: OnceLock<DateTime<Utc>> = OnceLock::new();
    *BEGINNING.get_or_init(Utc::now)
}

/// The date this many days before the test process began, as `2026-11-03` in UTC. Midnight may pass during a test: the answer stays.
pub fn date_ago(days: u64) -> String {
    let date = beginning().date_naive().checked_sub_days(Days::new(days)).expect("a date");
    date.format("%Y-%m-%d").to_string()
}

/// The month this many months before the one in which the test process began, as `2026-11` in UTC.
pub fn month_ago(months: u32) -> String {
    // From the first of a month: the 31st has no counterpart in every other month.
    let first = beginning().date_naive().with_day(1).expect("every month has a first");
    first.checked_sub_months(Months::new(months)).expect("a month").format("%Y-%m").to_string()
}

/// Waits until a condition holds; fails the test when it does not within a minute. A busy machine needs a part of that.
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(60), what, check).await
}

/// As [`eventually`], for a condition that the service brings about only now and then.
pub async fn eventually_long<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(180), what, check).await
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
