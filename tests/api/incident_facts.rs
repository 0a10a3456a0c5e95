//! Any order, any duplication and any concurrency of audits end in the same incident.

use crate::go_clients::now;
use crate::support::{Database, Service, Writer, date_ago, gateway_audit};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// The audits of one remediation request. They must end in `FACTS`.
fn story(request: &str) -> Vec<(Writer, Value)> {
    let at = |second: u32| json!(time(&format!("{second:02}")));
    let mut gateway = gateway_audit(request);
    gateway["createdAt"] = at(0);
    gateway["environment"] = json!("old");
    let mut analysis = gateway_audit(request);
    analysis["createdAt"] = at(1);
    analysis["severity"] = json!("high");
    analysis["actionType"] = json!("restart");
    analysis["environment"] = json!("new");
    let started =
        json!({"remediationRequestID": request, "actionType": "scale", "status": "executing", "executedAt": at(2)});
    let failed =
        json!({"remediationRequestID": request, "errorMessage": "first try", "duration": "1s", "executedAt": at(3)});
    let done = json!({"remediationRequestID": request, "duration": 2_500_000_000_i64, "executedAt": at(4)});
    // Without a status, and later than all: it states no outcome.
    let mut late = gateway_audit(request);
    late["createdAt"] = at(9);
    late["alertName"] = json!("Renamed");
    late["priority"] = json!("");
    late["duration"] = json!(77_000_000);
    vec![
        (Writer::Gateway, gateway),
        (Writer::AiAnalysis, analysis),
        (Writer::Executor, started),
        (Writer::Executor, failed),
        (Writer::Executor, done),
        (Writer::Gateway, late),
    ]
}

/// A time of the story, by its seconds.
fn time(seconds: &str) -> String {
    format!("{}T10:00:{seconds}Z", date_ago(20))
}

fn facts() -> [(&'static str, Value); 9] {
    [
        ("alert_name", json!("Renamed")),
        ("alert_severity", json!("high")),
        ("action_type", json!("scale")),
        ("environment", json!("new")),
        ("execution_status", json!("completed")),
        ("duration", json!(2500)),
        ("error_message", Value::Null),
        ("start_time", json!(time("04"))),
        ("end_time", json!(time("06.5"))),
    ]
}

async fn check(service: &Service, request: &str) {
    let incident = service.incident_of(request).await;
    for (field, value) in facts() {
        assert_eq!(incident[field], value, "{request}: {field} of {incident}");
    }
}

/// All 720 orders, each with a repetition in the middle.
#[tokio::test]
async fn every_order_is_the_same() {
    let (service, _database) = Service::start().await;
    let mut orders = Vec::new();
    permute(&mut vec![0, 1, 2, 3, 4, 5], 0, &mut orders);
    for (n, orders) in orders.chunks(60).enumerate() {
        let service = &service;
        join_all(orders.iter().enumerate().map(|(m, order)| async move {
            let request = format!("rr-{n}-{m}");
            let story = story(&request);
            for (place, at) in order.iter().enumerate() {
                service.post(story[*at].0, &story[*at].1).await.audit_id();
                if place == 3 {
                    assert!(service.post(story[order[0]].0, &story[order[0]].1).await.is_replay());
                }
            }
            check(service, &request).await;
            let first = &story[order[0]].1;
            let time = if first["createdAt"].is_null() { &first["executedAt"] } else { &first["createdAt"] };
            assert_eq!(service.incident_of(&request).await["action_timestamp"], *time, "{order:?}");
        }))
        .await;
    }
}

fn permute(items: &mut Vec<usize>, from: usize, out: &mut Vec<Vec<usize>>) {
    if from == items.len() {
        out.push(items.clone());
    }
    for at in from..items.len() {
        items.swap(from, at);
        permute(items, from + 1, out);
        items.swap(from, at);
    }
}

/// All audits of many requests at once, over two replicas.
#[tokio::test]
async fn two_replicas_at_once() {
    let (one, database) = Service::start().await;
    let two = Service::on(&database.url, &[]).await;
    two.logged("ready").await;
    let services = [&one, &two];
    for round in 0..5 {
        let posts = (0..40).flat_map(|n| story(&format!("rr-{round}-{n}"))).enumerate().map(|(at, (writer, body))| {
            let (first, second) = (services[at % 2], services[(at + 1) % 2]);
            async move {
                let (a, b) = tokio::join!(first.post(writer, &body), second.post(writer, &body));
                assert_eq!(a.audit_id(), b.audit_id());
                assert!(a.is_replay() != b.is_replay(), "one is the first");
            }
        });
        join_all(posts).await;
    }
    for round in 0..5 {
        for n in 0..40 {
            check(&one, &format!("rr-{round}-{n}")).await;
        }
    }
    assert_eq!(counts(&database).await, (200 * 6, 200));
}

async fn counts(database: &Database) -> (i64, i64) {
    let audits = database.number("SELECT count(*) FROM remediation_audit").await;
    (audits, database.number("SELECT count(*) FROM resource_action_traces").await)
}

#[tokio::test]
async fn the_assumed_status_gives_way() {
    let (service, _database) = Service::start().await;
    let mut body = gateway_audit("rr");
    body["createdAt"] = json!(now(0));
    service.post(Writer::Gateway, &body).await.audit_id();
    assert_eq!(service.incident_of("rr").await["execution_status"], "pending");
    // This audit is earlier than the other one, but it states a status.
    body["createdAt"] = json!(now(-100));
    body["status"] = json!("in_progress");
    service.post(Writer::Gateway, &body).await.audit_id();
    let incident = service.incident_of("rr").await;
    assert_eq!((&incident["execution_status"], &incident["end_time"]), (&json!("in_progress"), &Value::Null));
}
