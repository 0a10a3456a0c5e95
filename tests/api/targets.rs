//! Counts by facts that have too many values to be counted by. Where many incidents fit they are counted in memory, and as PostgreSQL does.

use crate::support::{Database, Service, Writer, citus, date_ago, eventually};
use serde_json::{Value, json};

/// Incidents that are there before anything is posted: most of them on one target.
const CROWD: &str = "INSERT INTO resource_action_traces (
        bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name, target_resource,
        alert_fingerprint, environment, workload, model_used, model_confidence, execution_status, created_at, updated_at)
    SELECT n % 1024, n * 1024 + n % 1024, 'crowd-' || n, date_trunc('hour', now()) - n * interval '4 minutes', 'Alert' || n % 3,
        (ARRAY['high', 'low'])[1 + n % 2], (ARRAY['restart', 'scale'])[1 + n / 2 % 2], 'ns-' || n % 2, 'c-1',
        CASE WHEN n % 30 = 7 THEN 'pod/rare' ELSE 'deployment/crowd' END, CASE WHEN n % 5 > 0 THEN 'f-1' WHEN n % 10 = 0 THEN 'f-2' END,
        CASE WHEN n % 7 > 1 THEN 'production' END, CASE WHEN n % 4 > 0 THEN 'deployment/crowd' END, 'small', 0.9,
        (ARRAY['completed', 'failed', 'in_progress'])[1 + n % 3], now(), now()
    FROM generate_series(1::bigint, 2500) AS n";

const FILTERS: [&str; 12] = [
    "target_resource=deployment%2Fcrowd",
    "target_resource=deployment%2Fcrowd&status=failed",
    "target_resource=deployment%2Fcrowd&action_type=scale",
    "target_resource=deployment%2Fcrowd&action_type=patch",
    "target_resource=deployment%2Fcrowd&alert_fingerprint=f-1&since={since}",
    "target_resource=deployment%2Fcrowd&target_resource=pod%2Frare&namespace=ns-1",
    "target_resource=deployment%2Fcrowd&since={since}&until={until}",
    "alert_fingerprint=f-1",
    "alert_fingerprint=f-1&environment=production&alert_name=Alert2",
    "alert_fingerprint=f-1&alert_fingerprint=f-2&alert_name=Nothing",
    "target_resource=pod%2Frare",
    "target_resource=pod%2Fnone",
];

const QUESTIONS: [&str; 6] = [
    "incidents?limit=1&{filter}",
    "incidents/facets?fields=alert_name,action_type,status,environment&{filter}",
    "stats/counts?interval=hour&limit=50&{filter}",
    "stats/counts?interval=day&group_by=target,severity&{filter}",
    "stats/counts?interval=week&group_by=action_type,model_used,namespace&{filter}",
    "stats/counts?interval=month&group_by=target&{filter}",
];

#[tokio::test]
async fn counts_in_memory_are_those_of_postgresql() {
    // There PostgreSQL counts always.
    if citus::leave_out("counts in memory") {
        return;
    }
    let (service, database) = Service::start().await;
    // The crowd goes back a week, maybe into the month before: this makes the partition of that month.
    let first = json!({"remediationRequestID": "rr-first", "alertName": "Alert1", "namespace": "ns-1", "cluster": "c-1",
        "actionType": "scale", "createdAt": format!("{}T00:00:00Z", date_ago(8))});
    service.post(Writer::Executor, &first).await.audit_id();
    database.client.batch_execute(CROWD).await.expect("a crowd");
    compare(&service, &database).await;
    let mut random = fastrand::Rng::with_seed(31);
    for n in 0..60 {
        service.post(Writer::Executor, &random_audit(&mut random, n % 25)).await.audit_id();
    }
    // The action of what comes after the end is not that of the attempt that has ended.
    for n in 0..5 {
        let time = |hour: u8| format!("{}T{hour:02}:00:00Z", date_ago(1));
        let ended = json!({"remediationRequestID": format!("rr-ended-{n}"), "alertName": "Alert1", "namespace": "ns-1", "cluster": "c-1",
            "targetResource": "deployment/crowd", "actionType": "scale", "status": "completed", "createdAt": time(10)});
        let then = json!({"remediationRequestID": format!("rr-ended-{n}"), "alertName": "Alert1", "namespace": "ns-1", "cluster": "c-1", "actionType": "patch", "createdAt": time(11)});
        service.post(Writer::Executor, &ended).await.audit_id();
        service.post(Writer::Executor, &then).await.audit_id();
    }
    compare(&service, &database).await;
    let patched = service.read("/api/v1/incidents?target_resource=deployment%2Fcrowd&action_type=patch").await;
    assert_eq!(patched["pagination"]["total"], 5, "{patched}");
    let changed = "DELETE FROM resource_action_traces WHERE alert_name = 'Alert2' AND namespace = 'ns-0';
        UPDATE resource_action_traces SET target_resource = 'pod/rare', counted_before = ARRAY['same'] WHERE alert_name = 'Alert1' AND environment IS NULL";
    database.client.batch_execute(changed).await.expect("changed");
    compare(&service, &database).await;
}

fn random_audit(random: &mut fastrand::Rng, request: usize) -> Value {
    let time = format!("{}T{:02}:{:02}:00Z", date_ago(random.u64(1..6)), random.u8(0..24), random.u8(0..60));
    let mut body = json!({"remediationRequestID": format!("rr-{request}"), "alertName": format!("Alert{}", request % 3),
        "namespace": format!("ns-{}", request % 2), "cluster": "c-1", "createdAt": time});
    for (name, values) in [
        ("status", ["completed", "failed"]),
        ("actionType", ["restart", "scale"]),
        ("environment", ["production", "staging"]),
        ("alertFingerprint", ["f-1", "f-2"]),
        ("targetResource", ["deployment/crowd", "pod/rare"]),
    ] {
        if random.bool() {
            body[name] = json!(values[random.usize(0..2)]);
        }
    }
    body
}

/// Asks from memory and from PostgreSQL.
async fn compare(service: &Service, database: &Database) {
    let is_in_memory = async || {
        let before = asked_postgresql(service).await;
        service.read("/api/v1/incidents?limit=1&target_resource=deployment%2Fcrowd").await;
        (asked_postgresql(service).await == before).then_some(())
    };
    eventually("the attempts are in memory", is_in_memory).await;
    let before = asked_postgresql(service).await;
    let of_many = answers(service, &["target_resource=deployment%2Fcrowd", "alert_fingerprint=f-1"]).await;
    assert_eq!(asked_postgresql(service).await, before);
    let in_memory = answers(service, &FILTERS).await;
    let before = asked_postgresql(service).await;
    database.rows("UPDATE count_state SET is_whole = false", &[]).await;
    let by_postgresql = answers(service, &FILTERS).await;
    database.rows("UPDATE count_state SET is_whole = true", &[]).await;
    assert!(asked_postgresql(service).await >= before + 72.0, "PostgreSQL was asked");
    assert!(of_many.iter().all(|answer| in_memory.contains(answer)));
    for ((question, in_memory), (_, by_postgresql)) in in_memory.iter().zip(&by_postgresql) {
        assert_eq!(in_memory, by_postgresql, "{question}");
    }
}

/// Every question about every filter, page by page.
async fn answers(service: &Service, filters: &[&str]) -> Vec<(String, Vec<Value>)> {
    let (since, until) = (format!("{}T06:30:07.5Z", date_ago(4)), format!("{}T00:00:00Z", date_ago(2)));
    let mut all = Vec::new();
    for filter in filters {
        let filter = filter.replace("{since}", &since).replace("{until}", &until);
        for question in QUESTIONS {
            let question = question.replace("{filter}", &filter);
            let (mut pages, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = service.read(&format!("/api/v1/{question}{cursor}")).await;
                let next = page["pagination"]["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
                pages.push(page);
                match next {
                    Some(next) if question.starts_with("stats") => cursor = next,
                    _ => break,
                }
            }
            all.push((question, pages));
        }
    }
    all
}

/// How often PostgreSQL was asked to count incidents, but for a look whether they are few.
async fn asked_postgresql(service: &Service) -> f64 {
    let metrics = service.metrics().await;
    let number = |name: &str| {
        let name = format!("datastorage_db_transaction_duration_seconds_count{{name=\"query.{name}\"}}");
        metrics.get(&name).copied().unwrap_or_default()
    };
    ["count_incidents", "facets", "counts"].into_iter().map(number).sum()
}
