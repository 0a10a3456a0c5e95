//! 64 connections post at once, with replays among them. `LOAD_SECONDS` sets for how long, and a slow machine takes longer.

use crate::support::{Service, Writer, date_ago, eventually};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many posts at least, so that each filter of the test has incidents.
const LEAST: u64 = 1_500;

fn seconds() -> u64 {
    std::env::var("LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// The nth audit: of a request that has five of them, by three writers, one in seven a repetition of an earlier one.
fn audit(n: u64) -> (Writer, Value) {
    let n = if n % 7 == 6 { n - 5 } else { n };
    let request = n / 5;
    let mut body = json!({
        "remediationRequestID": format!("rr-{request}"),
        "createdAt": format!("{}T{:02}:{:02}:{:02}.{:03}Z", date_ago(1 + request % 20), request % 24, n % 60, n % 59, n % 1000),
        "alertName": format!("Alert{}", request % 17),
        "namespace": format!("ns-{}", request % 11),
        "cluster": format!("cluster-{}", request % 3),
        "priority": format!("P{}", request % 4),
    });
    match n % 5 {
        0 => (Writer::Gateway, body),
        1 => {
            body["actionType"] = json!(["scale", "restart", "rollback"][usize::try_from(request % 3).expect("small")]);
            body["reasoning"] = json!(format!("node {n} ran out of memory, pod web-{n} was evicted"));
            (Writer::AiAnalysis, body)
        }
        _ => {
            body["status"] = json!(["executing", "failed", "completed"][usize::try_from(n % 3).expect("small")]);
            body["executedAt"] = body["createdAt"].clone();
            (Writer::Executor, body)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_connections() {
    let (service, database) = Service::start().await;
    let next = AtomicU64::new(0);
    let until = Instant::now() + Duration::from_secs(seconds());
    let clients = (0..64).map(|_| async {
        let (mut ids, mut replays) = (HashSet::new(), 0u64);
        while Instant::now() < until || next.load(Ordering::Relaxed) < LEAST {
            let (writer, body) = audit(next.fetch_add(1, Ordering::Relaxed));
            let answer = service.post(writer, &body).await;
            replays += u64::from(answer.is_replay());
            ids.insert(answer.audit_id());
        }
        (ids, replays)
    });
    let results = futures_util::future::join_all(clients).await;
    let replays: u64 = results.iter().map(|(_, replays)| replays).sum();
    let ids: HashSet<String> = results.into_iter().flat_map(|(ids, _)| ids).collect();
    let posted = next.into_inner();
    eprintln!("{posted} posts, {replays} of them replays, {} audits", ids.len());
    assert!(replays > 0 && ids.len() > 100);
    assert_eq!(ids.len() as u64 + replays, posted, "every 201 is a new audit or a replay");

    let rows = database.rows("SELECT id FROM remediation_audit", &[]).await;
    let stored: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!((rows.len(), &stored), (ids.len(), &ids), "every 201 is one row");
    let requests = database.number("SELECT count(DISTINCT remediation_request_id) FROM remediation_audit").await;
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, requests);
    eventually("an empty outbox", async || {
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
    assert_eq!(database.number("SELECT count(*) FROM audit_embeddings").await, rows.len() as i64);
    let since = date_ago(10);
    for (query, condition) in [
        ("", "true"),
        ("&alert_name=Alert3", "alert_name = 'Alert3'"),
        ("&severity=high&action_type=scale", "alert_severity = 'high' AND action_type = 'scale'"),
        ("&status=completed&cluster=cluster-1", "execution_status = 'completed' AND cluster_name = 'cluster-1'"),
        (
            &format!("&namespace=ns-4&since={since}T00:00:00Z"),
            &format!("namespace = 'ns-4' AND action_timestamp >= '{since}Z'"),
        ),
    ] {
        let total = &service.read(&format!("/api/v1/incidents?limit=1{query}")).await["pagination"]["total"];
        let count = database.number(&format!("SELECT count(*) FROM resource_action_traces WHERE {condition}")).await;
        assert_eq!(total, count, "{query}");
        assert!(count > 0, "{query}");
    }
}
