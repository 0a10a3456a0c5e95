//! Several processes on one database.

use crate::support::{Service, Writer, eventually, gateway_audit, month_ago, server};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The first audits of months without a partition, at all replicas at once: each month is made once, and nobody fails.
#[tokio::test]
async fn new_months_at_once() {
    let database = server().database().await;
    let settings = [("AUDIT_MAX_AGE", "3000d")];
    let starts = (0..3).map(|_| Service::on(&database.url, &settings));
    let services = join_all(starts).await;
    join_all(services.iter().map(|service| service.logged("ready"))).await;
    join_all(services.iter().map(Service::migrated)).await;
    for month in 0..60 {
        let posts = (0..9usize).map(|n| {
            let service = &services[n % 3];
            let body = json!({
                "remediationRequestID": format!("rr-{month}-{n}"), "alertName": "A", "namespace": "n", "cluster": "c",
                "createdAt": format!("{}-10T00:00:00Z", month_ago(60 - month)),
            });
            async move { service.post(Writer::Gateway, &body).await.audit_id() }
        });
        join_all(posts).await;
    }
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, 540);
    for service in &services {
        assert_eq!(errors_since_ready(service), Vec::<Value>::new());
    }
}

/// The lines of the log that report an error after the service was ready.
fn errors_since_ready(service: &Service) -> Vec<Value> {
    let lines = service.log().into_iter().skip_while(|line| line["message"] != "ready");
    lines.filter(|line| line["level"] == "ERROR").collect()
}

/// Each replica in turn is told to stop and is replaced, again and again; a client asks the other replica when its connection breaks
/// or a 503 comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_request_of_a_client_that_retries() {
    let database = server().database().await;
    let replicas = Arc::new(Mutex::new(Vec::new()));
    let mut services = Vec::new();
    for _ in 0..2 {
        let service = Service::on(&database.url, &[]).await;
        service.logged("ready").await;
        replicas.lock().expect("no panic").push(service.address);
        services.push(service);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..16).map(|client| tokio::spawn(post_until(stop.clone(), replicas.clone(), client))).collect();
    for round in 0..6 {
        let at = round % 2;
        let written = async || database.number("SELECT count(*) FROM remediation_audit").await;
        let before = written().await;
        eventually("work goes on", async || (written().await > before + 50).then_some(())).await;
        let next = Service::on(&database.url, &[]).await;
        next.logged("ready").await;
        // As a platform does it: the new one gets requests, the old one gets none any more, and is told to stop.
        replicas.lock().expect("no panic")[at] = next.address;
        let mut old = std::mem::replace(&mut services[at], next);
        assert!(old.stop().await.success());
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = 0;
    for client in clients {
        acknowledged += client.await.expect("no request was lost");
    }
    assert!(acknowledged > 200, "{acknowledged}");
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, acknowledged);
    let total = services[0].read("/api/v1/incidents?limit=1").await["pagination"]["total"].clone();
    assert_eq!(total, acknowledged);
}

/// Posts one audit after the other; each is tried at one replica after the other until it is acknowledged.
async fn post_until(stop: Arc<AtomicBool>, replicas: Arc<Mutex<Vec<SocketAddr>>>, client: usize) -> i64 {
    let http = reqwest::Client::builder().build().expect("a client");
    let mut acknowledged = 0;
    while !stop.load(Ordering::SeqCst) {
        let body = gateway_audit(&format!("rr-{client}-{acknowledged}"));
        let mut tries = 0usize;
        loop {
            let address = replicas.lock().expect("no panic")[(client + tries) % 2];
            let post = http.post(format!("http://{address}/api/v1/audit/remediation"));
            match post.bearer_auth(Writer::Gateway.token()).json(&body).send().await {
                Ok(answer) if answer.status() == 201 || answer.status() == 200 => break,
                Ok(answer) => assert_eq!(answer.status(), 503, "{:?}", answer.text().await),
                Err(_) => {} // the connection broke
            }
            tries += 1;
            assert!(tries < 20, "not acknowledged in twenty tries");
        }
        acknowledged += 1;
    }
    acknowledged
}

/// A database that nobody has migrated, and five replicas at once.
#[tokio::test]
async fn migrations_at_a_start_of_several() {
    let database = server().database().await;
    let services = join_all((0..5).map(|_| Service::on(&database.url, &[]))).await;
    join_all(services.iter().map(|service| service.logged("ready"))).await;
    join_all(services.iter().map(Service::migrated)).await;
    for (n, service) in services.iter().enumerate() {
        // One migrates, the others wait for it: nobody meets half of it.
        let failed = "the audit database cannot be migrated yet";
        assert!(!service.log().iter().any(|line| line["message"] == failed), "{:?}", service.log());
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
        assert_eq!(errors_since_ready(service), Vec::<Value>::new());
    }
    let twice =
        "SELECT count(*) FROM (SELECT version FROM audit_schema_history GROUP BY version HAVING count(*) > 1) AS t";
    assert_eq!(database.number(twice).await, 0);
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, 5);
}

/// Another process migrates and takes long: meanwhile requests are answered 503 with `Retry-After`.
#[tokio::test]
async fn requests_before_the_migration() {
    let database = server().database().await;
    let migrating = server().connect(&database.name).await;
    migrating.batch_execute("SELECT pg_advisory_lock(7261000)").await.expect("a lock");
    let service = Service::on(&database.url, &[]).await;
    let query = json!({"query": "memory"});
    eventually("both databases answer", async || {
        let parts = &service.read("/health").await["parts"];
        ["write_database", "read_database", "vector_read_database"]
            .iter()
            .all(|part| parts[part]["state"] == "up")
            .then_some(())
    })
    .await;
    assert_eq!(service.get("/health/ready").await.status, 503);
    assert_eq!(service.read("/health").await["parts"]["write_database"]["migrated"], false);
    let answers = [
        service.post(Writer::Gateway, &gateway_audit("rr-early")).await,
        service.get("/api/v1/incidents").await,
        service.get("/api/v1/stats/success-rate?group_by=alert_name").await,
        service.search(&query).await,
    ];
    for answer in answers {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after").is_some()), (503, true), "{}", answer.text);
    }
    let folds = service.log().into_iter().filter(|line| line["transaction"] == "totals.fold");
    assert_eq!(folds.count(), 0, "nothing is folded, and nothing complains, before there are totals");
    migrating.batch_execute("SELECT pg_advisory_unlock(7261000)").await.expect("unlocked");
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-early")).await.audit_id();
    eventually("searches", async || (service.search(&query).await.status == 200).then_some(())).await;
    service.incident_of("rr-early").await;
}

/// The audit of the locked incident is answered 503 in time; the other audits of the same flush are committed.
#[tokio::test]
async fn a_row_that_somebody_has_locked_costs_its_own_audit() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-locked")).await.audit_id();
    let bucket = database.number("SELECT bucket::bigint FROM resource_action_traces").await;
    let lock = format!("BEGIN; SELECT 1 FROM resource_action_traces WHERE bucket = {bucket} FOR UPDATE");
    let other = server().connect(&database.name).await;
    other.batch_execute(&lock).await.expect("a lock");
    let locked = json!({"remediationRequestID": "rr-locked", "executedAt": crate::support::now()});
    let posts = (0..20).map(|n| {
        let body = if n == 7 { locked.clone() } else { gateway_audit(&format!("rr-{n}")) };
        let service = &service;
        async move { (n, service.post(Writer::Executor, &body).await) }
    });
    for (n, answer) in join_all(posts).await {
        assert_eq!(answer.status, if n == 7 { 503 } else { 201 }, "{n}: {}", answer.text);
    }
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    assert_eq!(service.post(Writer::Executor, &locked).await.status, 201);
}
