//! Totals are exact at every moment. The transaction of a write keeps them up, and `check --totals --repair` corrects
//! them beside writes.

use crate::support::{Database, Service, Writer, citus, data_storage, date_ago, ended, eventually, server};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// `check --totals`: whether it ended well, and what it printed.
async fn check(database: &Database, more: &[&str]) -> (bool, String) {
    ended(data_storage(&database.url, &["check", "--totals"]).args(more)).await
}

/// Waits until all changes are in the blocks. Where the tables are distributed they stay for a while after that.
async fn all_folded(database: &Database) {
    let unfolded = "SELECT count(*) FROM count_changes WHERE folded_by IS NULL";
    let marked = "SELECT marked FROM count_state";
    eventually("all folded", async || {
        (database.number(unfolded).await == 0 && database.number(marked).await == 0).then_some(())
    })
    .await;
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
        body["status"] = json!(["executing", "completed", "failed"][(n + turn) % 3]);
    }
    if !n.is_multiple_of(4) {
        body["environment"] = json!(["production", "staging", "test"][n % 4 - 1]);
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

/// Questions with several values, statuses and times, each with its condition.
fn spans() -> Vec<(String, String)> {
    let day = |days: u64, time: &str| format!("{}T{time}Z", date_ago(days));
    let times = [
        (Some(day(12, "10:00:00")), None),
        (None, Some(day(5, "10:00:02"))),
        (Some(day(15, "09:59:59.5")), Some(day(3, "10:00:01.25"))),
        (Some(day(9, "10:00:01")), Some(day(9, "10:00:03"))),
        (Some(day(8, "10:00:00")), Some(day(8, "10:01:00"))),
        (Some(day(2, "00:00:00")), Some(day(7, "00:00:00"))),
    ];
    let facts = [
        ("", "true"),
        ("status=failed", "execution_status = 'failed'"),
        ("status=rolled_back", "false"),
        (
            "severity=low&status=completed&status=failed",
            "alert_severity = 'low' AND execution_status IN ('completed', 'failed')",
        ),
        ("environment=test", "environment = 'test'"),
        (
            "alert_name=Alert1&alert_name=Alert2&namespace=ns-1&environment=production",
            "alert_name IN ('Alert1', 'Alert2') AND namespace = 'ns-1' AND environment = 'production'",
        ),
        ("action_type=scale&status=in_progress", "action_type = 'scale' AND execution_status = 'in_progress'"),
    ];
    let mut questions = Vec::new();
    for (fact, condition) in facts {
        questions.push((fact.to_owned(), condition.to_owned()));
        for (since, until) in &times {
            let (mut query, mut condition) = (fact.to_owned(), condition.to_owned());
            for (name, comparison, time) in [("since", ">=", since), ("until", "<", until)] {
                if let Some(time) = time {
                    query += &format!("&{name}={time}");
                    condition += &format!(" AND action_timestamp {comparison} '{time}'");
                }
            }
            questions.push((query, condition));
        }
    }
    questions
}

async fn compare(service: &Service, database: &Database) {
    let asked = FILTERS.iter().map(|(query, condition)| ((*query).to_owned(), (*condition).to_owned()));
    for (query, condition) in asked.chain(spans()) {
        let total = &service.read(&format!("/api/v1/incidents?limit=1&{query}")).await["pagination"]["total"];
        let from = format!("FROM resource_action_traces WHERE {condition}");
        let count = database.number(&format!("SELECT count(*) {from}")).await;
        assert_eq!(total, count, "{query}");
        for order in ["newest", "oldest"] {
            walk(service, database, &query, &from, order).await;
        }
        facets_and_counts(service, database, &query, &from).await;
    }
}

/// Pages of seven, one after the other, meet what fits in its order.
async fn walk(service: &Service, database: &Database, query: &str, from: &str, order: &str) {
    let direction = if order == "newest" { "DESC" } else { "ASC" };
    let sql = format!("SELECT id {from} ORDER BY action_timestamp {direction}, id {direction}");
    let wanted: Vec<i64> = database.rows(&sql, &[]).await.iter().map(|row| row.get(0)).collect();
    let (mut met, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/incidents?limit=7&total=false&order={order}&{query}{cursor}");
        let page = service.read(&path).await;
        met.extend(page["data"].as_array().expect("data").iter().map(|row| row["id"].as_i64().expect("an id")));
        match page["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(met, wanted, "{order} {query}");
}

async fn facets_and_counts(service: &Service, database: &Database, query: &str, from: &str) {
    let facets = service.read(&format!("/api/v1/incidents/facets?fields=alert_name,status,environment&{query}")).await;
    for (field, column) in
        [("alert_name", "alert_name"), ("status", "execution_status"), ("environment", "environment")]
    {
        let sql = format!("SELECT {column}, count(*) {from} AND {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1");
        let rows = database.rows(&sql, &[]).await;
        let wanted: Vec<Value> =
            rows.iter().map(|row| json!({"value": row.get::<_, String>(0), "count": row.get::<_, i64>(1)})).collect();
        assert_eq!(facets["data"][field]["values"], json!(wanted), "{field} {query}");
    }
    for interval in ["hour", "week", "month"] {
        let counts =
            service.read(&format!("/api/v1/stats/counts?interval={interval}&group_by=environment&{query}")).await;
        let sql = format!(
            "SELECT to_char(g.time, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), g.environment, jsonb_object_agg(g.execution_status, g.n) \
             FROM (SELECT date_trunc('{interval}', action_timestamp, 'UTC') AT TIME ZONE 'UTC' AS time, environment, execution_status, \
             count(*) AS n {from} GROUP BY 1, 2, 3) AS g GROUP BY g.time, g.environment ORDER BY g.time, g.environment"
        );
        let rows = database.rows(&sql, &[]).await;
        let wanted: Vec<Value> = rows
            .iter()
            .map(|row| {
                let (time, environment): (String, Option<String>) = (row.get(0), row.get(1));
                json!({"time": time, "environment": environment, "counts": row.get::<_, Value>(2)})
            })
            .collect();
        assert_eq!(counts["data"], json!(wanted), "{interval} {query}");
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
    all_folded(&database).await;
    assert!(database.number("SELECT count(*) FROM count_combinations").await > 10);
    assert!(database.number("SELECT count(*) FROM count_blocks").await >= 20);
    compare(&two, &database).await;
    let (success, text) = check(&database, &[]).await;
    assert!(success && text.contains("exact"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_found_and_mended() {
    let (service, database) = Service::start().await;
    for n in 0..20 {
        service.post(Writer::AiAnalysis, &audit(n, 1)).await.audit_id();
    }
    all_folded(&database).await;
    for damage in [
        "UPDATE count_blocks SET entries = '\\x01', generation = (SELECT generation + 1 FROM count_state) WHERE bucket % 2 = 0",
        "DELETE FROM count_blocks",
        // One incident of the first combination too many, in an hour of 1970.
        "INSERT INTO count_blocks VALUES (7, 7, 0, '\\x01010102')",
    ] {
        database.client.execute(damage, &[]).await.expect(damage);
        let (success, text) = check(&database, &[]).await;
        assert!(!success, "{damage}: {text}");
        let (success, text) = check(&database, &["--repair"]).await;
        assert!(success, "{damage}: {text}");
        all_folded(&database).await;
        assert!(check(&database, &[]).await.0, "{damage}");
        compare(&service, &database).await;
    }
}

/// What fits at the beginning has become less, and at the end more, since it was folded: a page is the beginning of what fits all the same.
#[tokio::test]
async fn pages_beside_changes_that_are_not_folded() {
    let (service, database) = Service::start().await;
    let post = async |order: &str, minute: usize, status: &str| {
        let audit = json!({
            "remediationRequestID": format!("rr-{order}-{minute}"), "alertName": "A", "namespace": order, "cluster": "c", "status": status,
            "createdAt": format!("{}T{:02}:{:02}:00Z", date_ago(3), minute / 60, minute % 60),
        });
        service.post(Writer::Gateway, &audit).await.audit_id();
    };
    let minutes: Vec<(&str, usize)> =
        ["oldest", "newest"].iter().flat_map(|order| (600..640).map(|minute| (*order, minute))).collect();
    join_all(minutes.iter().map(|(order, minute)| post(order, *minute, "pending"))).await;
    all_folded(&database).await;
    // Nobody folds from here on.
    let other = server().connect(&database.name).await;
    other.execute("SELECT pg_advisory_lock(7261002)", &[]).await.expect("locked");
    for (order, changed, more) in [("oldest", 600..605, 1200..1205), ("newest", 635..640, 0..5)] {
        for minute in changed {
            post(order, minute, "completed").await;
        }
        for minute in more {
            post(order, minute, "pending").await;
        }
        let from = format!("FROM resource_action_traces WHERE namespace = '{order}' AND execution_status = 'pending'");
        walk(&service, &database, &format!("namespace={order}&status=pending"), &from, order).await;
        walk(
            &service,
            &database,
            &format!("namespace={order}"),
            &from.replace("AND execution_status = 'pending'", ""),
            order,
        )
        .await;
    }
}

/// A transaction that is open while very many later ones are folded is counted when it ends.
#[tokio::test]
async fn a_transaction_that_is_open_beside_large_folds() {
    let (service, database) = Service::start().await;
    if citus::url().is_some() {
        return; // rows that are written by SQL are not counted there
    }
    for n in 0..2 {
        service.post(Writer::Gateway, &audit(n, 0)).await.audit_id();
    }
    all_folded(&database).await;
    let other = server().connect(&database.name).await;
    other
        .batch_execute("BEGIN; DELETE FROM resource_action_traces WHERE correlation_id = 'rr-0'")
        .await
        .expect("deleted");
    // A note for each: more than one fold takes.
    let crowd = "INSERT INTO resource_action_traces (
            bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
            model_confidence, execution_status, created_at, updated_at)
        SELECT n % 1024, n * 1024 + n % 1024, 'crowd-' || n, date_trunc('month', now()) + n * interval '1 millisecond', 'Alert', 'high',
            'restart', 'shop', 'eu-1', 0.9, 'completed', now(), now()
        FROM generate_series(1::bigint, 3000) AS n";
    database.rows(crowd, &[]).await;
    // The note of the open transaction is not seen.
    all_folded(&database).await;
    other.batch_execute("COMMIT").await.expect("committed");
    let total = &service.read("/api/v1/incidents?limit=1").await["pagination"]["total"];
    assert_eq!(*total, 3001);
    all_folded(&database).await;
    let total = &service.read("/api/v1/incidents?limit=1").await["pagination"]["total"];
    assert_eq!(*total, 3001);
}
