//! Several processes on one database.

use crate::support::{Service, Writer, server};
use futures_util::future::join_all;
use serde_json::json;

/// The first audits of months without a partition, at all replicas at once: each month is made once, and nobody fails.
#[tokio::test]
async fn new_months_at_once() {
    let database = server().database().await;
    let settings = [("AUDIT_MAX_AGE", "3000d")];
    let starts = (0..3).map(|_| Service::on(&database.url, &settings));
    let services = join_all(starts).await;
    join_all(services.iter().map(|service| service.logged("ready"))).await;
    for month in 0..60 {
        let posts = (0..9usize).map(|n| {
            let service = &services[n % 3];
            let body = json!({
                "remediationRequestID": format!("rr-{month}-{n}"), "alertName": "A", "namespace": "n", "cluster": "c",
                "createdAt": format!("20{:02}-{:02}-10T00:00:00Z", 19 + month / 12, 1 + month % 12),
            });
            async move { service.post(Writer::Gateway, &body).await.audit_id() }
        });
        join_all(posts).await;
    }
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, 540);
    for service in &services {
        assert!(!service.log().iter().any(|line| line["level"] == "ERROR"), "{:?}", service.log());
    }
}

/// It is answered 503 in time; what came with it in the same flush is committed.
#[tokio::test]
async fn a_row_that_somebody_has_locked_costs_its_own_audit() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &crate::support::gateway_audit("rr-locked")).await.audit_id();
    let other = server().connect(&database.name).await;
    other
        .batch_execute("BEGIN; SELECT 1 FROM resource_action_traces WHERE correlation_id = 'rr-locked' FOR UPDATE")
        .await
        .expect("a lock");
    let locked = json!({"remediationRequestID": "rr-locked", "executedAt": crate::support::now()});
    let posts = (0..20).map(|n| {
        let body = if n == 7 { locked.clone() } else { crate::support::gateway_audit(&format!("rr-{n}")) };
        let service = &service;
        async move { (n, service.post(Writer::Executor, &body).await) }
    });
    for (n, answer) in join_all(posts).await {
        assert_eq!(answer.status, if n == 7 { 503 } else { 201 }, "{n}: {}", answer.text);
    }
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    assert_eq!(service.post(Writer::Executor, &locked).await.status, 201);
}
