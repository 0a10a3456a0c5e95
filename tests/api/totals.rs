//! Totals are exact at every moment. The transaction of a write keeps them up, and `check --totals --repair` corrects
//! them beside writes.

use crate::support::{Database, Service, Writer, date_ago, eventually};
use futures_util::future::join_all;
use serde_json::json;
use std::process::{Command, Output};

fn check(database: &Database, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_data-storage"))
        .args(["check", "--totals", "--database-url", &database.url])
        .args(more)
        .output()
        .expect("it runs")
}

const SEVERITIES: [&str; 2] = ["high", "low"];

/// An audit that opens incident n, or changes the facts under which the incident is counted.
fn audit(n: usize, turn: usize) -> serde_json::Value {
    let days = 1 + u64::try_from(n % 20).expect("small");
    let mut body = json!({
        "remediationRequestID": format!("rr-{n}"),
        "alertName": format!("Alert{}", (n + turn) % 3),
        "namespace": format!("ns-{}", (n * 7 + turn) % 2),
        "cluster": "c",
        "severity": SEVERITIES[(n + turn / 2) % 2],
        "createdAt": format!("{}T10:00:{turn:02}Z", date_ago(days)),
    });
    if turn > 0 {
        body["actionType"] = json!(["scale", "restart"][(n + turn) % 2]);
    }
    body
}

const FILTERS: &[(&str, &str)] = &[
    ("", "true"),
    ("alert_name=Alert1", "alert_name = 'Alert1'"),
    ("severity=high", "alert_severity = 'high'"),
    ("action_type=scale", "action_type = 'scale'"),
    ("namespace=ns-1", "namespace = 'ns-1'"),
    ("cluster=c", "cluster_name = 'c'"),
    ("cluster=d", "cluster_name = 'd'"),
    ("alert_name=Alert0&severity=low", "alert_name = 'Alert0' AND alert_severity = 'low'"),
    ("action_type=restart&namespace=ns-0", "action_type = 'restart' AND namespace = 'ns-0'"),
    (
        "alert_name=Alert2&severity=low&action_type=scale&namespace=ns-0&cluster=c",
        "alert_name = 'Alert2' AND alert_severity = 'low' AND action_type = 'scale' AND namespace = 'ns-0' AND cluster_name = 'c'",
    ),
];

async fn compare(service: &Service, database: &Database) {
    for (query, condition) in FILTERS {
        let total = &service.read(&format!("/api/v1/incidents?limit=1&{query}")).await["pagination"]["total"];
        let count = database.number(&format!("SELECT count(*) FROM resource_action_traces WHERE {condition}")).await;
        assert_eq!(total, count, "{query}");
    }
}

#[tokio::test]
async fn they_agree_with_counts_before_and_after_folding() {
    let (one, database) = Service::start().await;
    let two = Service::on(&database.url, &[]).await;
    two.logged("ready").await;
    for turn in [1, 0, 3, 2] {
        let posts = (0..60).map(|n| {
            let service = if n % 2 == 0 { &one } else { &two };
            async move { service.post(Writer::AiAnalysis, &audit(n, turn)).await.audit_id() }
        });
        join_all(posts).await;
        compare(&one, &database).await;
    }
    eventually("all folded", async || (database.number("SELECT count(*) FROM count_changes").await == 0).then_some(()))
        .await;
    assert!(database.number("SELECT count(*) FROM count_combinations").await > 10);
    assert!(database.number("SELECT count(*) FROM count_blocks").await >= 20);
    compare(&two, &database).await;
    let output = check(&database, &[]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("exact"), "{output:?}");
}

#[tokio::test]
async fn what_is_wrong_is_found_and_mended() {
    let (service, database) = Service::start().await;
    for n in 0..20 {
        service.post(Writer::AiAnalysis, &audit(n, 1)).await.audit_id();
    }
    eventually("all folded", async || (database.number("SELECT count(*) FROM count_changes").await == 0).then_some(()))
        .await;
    for damage in [
        "UPDATE count_blocks SET entries = '\\x01', generation = (SELECT generation + 1 FROM count_state) WHERE bucket % 2 = 0",
        "DELETE FROM count_blocks",
        // One incident of the first combination too many, in an hour of 1970.
        "INSERT INTO count_blocks VALUES (7, 7, 0, '\\x01010102')",
    ] {
        database.client.execute(damage, &[]).await.expect(damage);
        let output = check(&database, &[]);
        assert!(!output.status.success(), "{damage}: {output:?}");
        let output = check(&database, &["--repair"]);
        assert!(output.status.success(), "{damage}: {output:?}");
        eventually("all folded", async || {
            (database.number("SELECT count(*) FROM count_changes").await == 0).then_some(())
        })
        .await;
        assert!(check(&database, &[]).status.success(), "{damage}");
        compare(&service, &database).await;
    }
}
