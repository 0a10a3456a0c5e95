//! The vector store is away under load, and the service is killed meanwhile. `AWAY_SECONDS` sets for how long.

use crate::support::proxy::{Proxy, Way};
use crate::support::{Answer, Service, Writer, eventually, gateway_audit, server, within};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

fn seconds() -> u64 {
    std::env::var("AWAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

const CLIENTS: u64 = 16;
/// Between two posts of a client.
const PAUSE: Duration = Duration::from_millis(50);

/// The nth audit: one in ten has nothing to embed, one in ten a word that no other has, the rest repeat what others said.
fn audit(n: u64) -> Value {
    let alert = ["HighMemory", "FullDisk", "Latency"][usize::try_from(n % 3).expect("small")];
    let mut body = json!({
        "remediationRequestID": format!("rr-{n}"),
        "alertName": alert,
        "namespace": "shop",
        "cluster": "eu",
    });
    match n % 10 {
        0 => body["alertName"] = json!("42"),
        1 => body["reasoning"] = json!(format!("the {} is full", word(n))),
        _ => body["reasoning"] = json!(format!("pod web-{n} ran out of memory {n} times")),
    }
    body
}

fn has_text(n: u64) -> bool {
    !n.is_multiple_of(10)
}

/// A word of letters, another for each number.
fn word(mut n: u64) -> String {
    let mut word = "o".to_owned();
    while n > 0 {
        word.extend([char::from(b"bdfgklmnprst"[usize::try_from(n % 12).expect("small")]), 'a']);
        n /= 12;
    }
    word
}

async fn search(service: &Service, query: &str) -> Answer {
    service.search(&json!({"query": query, "limit": 5})).await
}

/// The service on the database, its vector store behind the proxy.
async fn start(database: &crate::support::Database, vector: &Proxy) -> Service {
    let vector = vector.url(&database.name);
    let service = Service::on(&database.url, &[("VECTOR_DATABASE_URL", &vector)]).await;
    service.logged("ready").await;
    service
}

/// Each client posts the next audit, reads it back, and searches now and then, until the service is killed at this time. A request
/// that is under way at that moment has no answer, and its client ends.
async fn load_and_kill(service: &mut Service, next: &Cell<u64>, posted: &RefCell<HashSet<u64>>, at: Instant) {
    let clients = join_all((0..CLIENTS).map(async |client| {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let n = next.replace(next.get() + 1);
            let post = service.client.post(service.url("/api/v1/audit/remediation"));
            let post = post.bearer_auth(Writer::AiAnalysis.token()).json(&audit(n)).send().await;
            let Ok(answer) = post else { return };
            assert_eq!(answer.status(), 201);
            let Ok(body) = answer.json::<Value>().await else { return };
            posted.borrow_mut().insert(n);
            if n % 20 != client {
                continue;
            }
            let path = format!("/api/v1/audits/{}", body["auditID"].as_str().expect("an id"));
            let Ok(answer) = service.client.get(service.url(&path)).send().await else { return };
            assert_eq!(answer.status(), 200);
            let search = service.client.post(service.url("/api/v1/incidents/search"));
            let Ok(answer) = search.json(&json!({"query": "ran out of memory"})).send().await else { return };
            assert_eq!(answer.status(), 503);
            let Ok(answer) = answer.json::<Value>().await else { return };
            assert!(answer["detail"].as_str().expect("a reason").contains("vector store"), "{answer}");
        }
    }));
    let killed = async {
        sleep_until(at.into()).await;
        service.signal(rustix::process::Signal::KILL);
    };
    tokio::join!(clients, killed);
    service.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vector_store_is_away() {
    let (database, vector) = (server().database().await, Proxy::start().await);
    let mut service = start(&database, &vector).await;
    let (next, posted) = (Cell::new(0), RefCell::new(HashSet::new()));
    service.post(Writer::Gateway, &gateway_audit("rr-before")).await.audit_id();
    eventually("searchable", async || (search(&service, "memory").await.json()["data"][0].is_object()).then_some(()))
        .await;

    vector.set(Way::Cut);
    let away = Duration::from_secs(seconds());
    eventually("searches notice", async || (search(&service, "memory").await.status == 503).then_some(())).await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(search(&service, "memory").await.status, 503);
    }
    // Two seconds is what each would wait for a connection, were it not told at once that another has waited in vain.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..3 {
        load_and_kill(&mut service, &next, &posted, Instant::now() + away / 3).await;
        service = start(&database, &vector).await;
    }
    let loaded = began.elapsed();
    let waiting = database.number("SELECT count(*) FROM embedding_outbox").await;
    let with_text = posted.borrow().iter().filter(|n| has_text(**n)).count() as i64;
    assert!(waiting >= with_text, "{waiting} of {with_text}");
    let lag = (seconds().saturating_sub(1)) as f64; // far below 2^53
    eventually("shown", async || {
        let rows = service.read("/health").await["parts"]["outbox"]["rows"].as_i64();
        (rows == Some(waiting) && service.metrics().await["datastorage_outbox_lag_seconds"] >= lag).then_some(())
    })
    .await;

    vector.set(Way::Open);
    let back = Instant::now();
    eventually("searches again", async || (search(&service, "memory").await.status == 200).then_some(())).await;
    // Killed in the middle of making up for it.
    let left = async || database.number("SELECT count(*) FROM embedding_outbox").await;
    eventually("it has begun to make up for it", async || (left().await < waiting).then_some(())).await;
    service.kill();
    let service = start(&database, &vector).await;
    within(Duration::from_secs(120) + away, "made up for", async || (left().await == 0).then_some(())).await;
    let posted = posted.into_inner();
    eprintln!("{} audits in {:?}; {waiting} made up for in {:?}", posted.len(), loaded, back.elapsed());
    // What had no answer may be there or not.
    let with_text = database.number("SELECT count(*) FROM remediation_audit WHERE alert_name <> '42'").await;
    let vectors = "SELECT count(*), count(DISTINCT audit_id) FROM audit_embeddings";
    let row = &database.rows(vectors, &[]).await[0];
    let (rows, audits): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!((rows, audits), (with_text, with_text), "each audit with text has its vector, none twice");
    let last = posted.iter().copied().filter(|n| n % 10 == 1).max().expect("audits");
    let found = search(&service, &word(last)).await.json();
    assert_eq!(found["data"][0]["remediation_request_id"], format!("rr-{last}"), "{found}");
}
