//! PostgreSQL stands still under a flood of posts: each is answered in time, memory stays flat, and when PostgreSQL goes on the
//! service is as fast as one that has met no flood.

use crate::support::{Server, Service, Writer, eventually, gateway_audit};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// `FLOOD` sets how many connections (2,000 need a limit of open files above it).
fn connections() -> usize {
    std::env::var("FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_database_that_stands_still() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("more files");
    let server = Server::start("still");
    let database = server.database().await;
    let service = Service::on(&database.url, &[("REQUEST_DEADLINE", "2s")]).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-before")).await.audit_id();
    let frozen = server.freeze(&database).await;
    let before = service.memory_kib();
    let flood: FuturesUnordered<_> = (0..connections())
        .map(|n| {
            let service = &service;
            async move {
                let started = Instant::now();
                let answer = service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await;
                assert_eq!(answer.status, 503, "{}", answer.text);
                assert!(answer.header("retry-after").is_some());
                started.elapsed()
            }
        })
        .collect();
    let live = async {
        for _ in 0..5 {
            assert_eq!(service.get("/health/live").await.status, 200);
        }
    };
    let (times, ()) = tokio::join!(flood.collect::<Vec<Duration>>(), live);
    let longest = times.iter().max().expect("some");
    // Ten deadlines: were one request to wait for another, the last would wait for hundreds.
    assert!(*longest < Duration::from_secs(20), "{longest:?}");
    let after = service.memory_kib();
    assert!(after < before + 64 * 1024, "{before} KiB grew to {after} KiB");
    drop(frozen);
    // As fast as a service that has met no flood, beside it on the same machine.
    let (untouched, _database) = Service::start().await;
    let round = AtomicUsize::new(0);
    eventually("full speed again", async || {
        let round = round.fetch_add(1, Ordering::Relaxed);
        let (time, beside) = tokio::join!(write_fifty(&service, round), write_fifty(&untouched, round));
        (time? < 3 * beside.expect("the other service writes")).then_some(())
    })
    .await;
}

/// How long fifty posts at once take; `None` when one is not written.
async fn write_fifty(service: &Service, round: usize) -> Option<Duration> {
    let started = Instant::now();
    let posts = (0..50).map(async |n| {
        let body = gateway_audit(&format!("rr-after-{round}-{n}"));
        service.post(Writer::Gateway, &body).await.status == 201
    });
    let written = join_all(posts).await.into_iter().all(|written| written);
    written.then(|| started.elapsed())
}
