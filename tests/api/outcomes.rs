//! The outcomes of incidents: outcomes that change when an alert comes back, success rates, timelines.

use super::search::{FIRST_DAY, embedded, id, remediate, search};
use crate::support::{Database, Service, Writer, citus, date_ago, eventually};
use serde_json::{Value, json};

/// A completed remediation whose alert comes back for the same target within a day did not work.
#[tokio::test]
async fn outcomes_ripen() {
    let (service, database) = Service::start().await;
    let fields = |target: &str| json!({"alertName": "HighLatency", "reasoning": "requests are slow", "actionType": "restart", "targetResource": target});
    remediate(&service, "first", 0, fields("deployment/a"), "completed").await;
    remediate(&service, "other-target", 1, fields("deployment/b"), "completed").await;
    remediate(&service, "again", 90, fields("deployment/a"), "completed").await;
    // Two days after the previous one: too late to count.
    remediate(&service, "later", 60 * 3, fields("deployment/a"), "failed").await;
    embedded(&service, &database, 4).await;
    let found = search(&service, json!({"query": "slow requests"})).await;
    let outcome = |request: &str| {
        let hits = found["data"].as_array().expect("data");
        hits.iter().find(|hit| hit["remediation_request_id"] == request).expect(request)["outcome"].clone()
    };
    assert_eq!((outcome("first"), outcome("again")), (json!("completed"), json!("completed")), "a day and an hour");
    remediate(&service, "soon", 20, fields("deployment/a"), "failed").await;
    embedded(&service, &database, 5).await;
    let found = search(&service, json!({"query": "slow requests"})).await;
    let outcome = |request: &str| {
        let hits = found["data"].as_array().expect("data");
        hits.iter().find(|hit| hit["remediation_request_id"] == request).expect(request)["outcome"].clone()
    };
    assert_eq!(outcome("first"), json!("recurred"));
    assert_eq!(outcome("other-target"), json!("completed"));
    assert_eq!(service.incident_of("first").await["execution_status"], "completed", "history is not rewritten");
    let rates = service.read("/api/v1/stats/success-rate").await;
    assert_eq!(
        rates["data"][0],
        json!({"alert_name": "HighLatency", "action_type": "restart", "n": 5, "completed": 2, "failed": 2,
        "recurred": 1, "success_rate": 0.4, "interval": [0.1176, 0.7693], "median_duration": 1000.0, "insufficient_data": false})
    );
    // Without the three of the first day.
    let since = format!("{}T00:00:00Z", date_ago(FIRST_DAY - 1));
    let rates = service.read(&format!("/api/v1/stats/success-rate?group_by=severity&since={since}")).await;
    assert_eq!((&rates["data"][0]["n"], &rates["data"][0]["insufficient_data"]), (&json!(2), &json!(true)), "{rates}");
    for (query, field) in [("group_by=colour", "group_by"), ("limit=0", "limit"), ("since=x", "since")] {
        let answer = service.get(&format!("/api/v1/stats/success-rate?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn a_timeline_of_audits_and_steps() {
    let (service, _database) = Service::start().await;
    remediate(&service, "rr", 5, json!({"alertName": "A"}), "completed").await;
    for (step, second) in [("verify", 9), ("validate", 1), ("scale", 3)] {
        let body = json!({"workflowID": "wf", "stepName": step, "stepStatus": "completed", "remediationRequestID": "rr",
            "executedAt": format!("{}T10:05:{second:02}Z", date_ago(FIRST_DAY))});
        service.post_step(&body).await.audit_id();
    }
    let timeline = service.read(&format!("/api/v1/incidents/{}/timeline", id(&service, "rr").await)).await;
    let order: Vec<String> = timeline["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|entry| {
            format!(
                "{} {}",
                entry["type"].as_str().expect("a type"),
                entry["stepName"].as_str().or(entry["status"].as_str()).expect("text")
            )
        })
        .collect();
    assert_eq!(
        order,
        ["remediation pending", "workflow validate", "workflow scale", "remediation completed", "workflow verify"]
    );
    assert_eq!(timeline["total"], 5);
    assert_eq!(timeline["data"][1]["time"], format!("{}T10:05:01Z", date_ago(FIRST_DAY)));
    assert_eq!(service.get("/api/v1/incidents/999999999/timeline").await.status, 404);
}

/// What the statement finds by binary search is what a comparison of each incident with each other finds.
#[tokio::test]
async fn recurrence_is_what_a_comparison_of_all_finds() {
    let (service, database) = Service::start().await;
    let mut random = fastrand::Rng::with_seed(11);
    let mut posts = Vec::new();
    for n in 0..160 {
        let mut fields = json!({"alertName": format!("Alert{}", random.u8(0..2)), "actionType": "restart"});
        if random.u8(0..4) > 0 {
            fields["targetResource"] = json!(format!("deployment/{}", random.u8(0..2)));
        }
        let status = ["completed", "completed", "failed", "rolled_back"][random.usize(0..4)];
        posts.push((format!("rr-{n}"), random.u64(0..300), fields, status));
    }
    for (request, minute, fields, status) in posts {
        remediate(&service, &request, minute, fields, status).await;
    }
    // Of a copy, since distributed tables are not compared with each other.
    let copy = "CREATE TEMPORARY TABLE copied AS SELECT * FROM resource_action_traces";
    database.client.batch_execute(copy).await.expect("copied");
    let compared = "SELECT t.alert_name, count(*) FROM copied AS t
        WHERE t.execution_status = 'completed' AND EXISTS (
            SELECT FROM copied AS o
            WHERE o.alert_name = t.alert_name AND o.namespace = t.namespace AND o.cluster_name = t.cluster_name
              AND (o.target_resource = t.target_resource) IS NOT FALSE AND o.id <> t.id
              AND o.action_timestamp > COALESCE(t.end_time, t.start_time, t.action_timestamp)
              AND o.action_timestamp <= COALESCE(t.end_time, t.start_time, t.action_timestamp) + interval '1 day')
        GROUP BY 1";
    let compared = database.rows(compared, &[]).await;
    assert_eq!(compared.len(), 2);
    for row in compared {
        let (alert, recurred): (String, i64) = (row.get(0), row.get(1));
        let path = format!("/api/v1/stats/success-rate?group_by=alert_name&alert_name={alert}");
        for path in [path, "/api/v1/stats/success-rate?group_by=alert_name".to_owned()] {
            let rates = service.read(&path).await;
            let rates = rates["data"].as_array().expect("groups").clone();
            let rate = rates.iter().find(|rate| rate["alert_name"] == alert).expect("a group");
            assert_eq!(rate["recurred"], recurred, "{path}: {rate}");
            assert!(recurred > 5, "{rate}");
        }
    }
}

/// Rates are counted in memory, or by PostgreSQL where the counts are not whole: both count the same, whatever has changed meanwhile.
#[tokio::test]
async fn rates_in_memory_are_those_of_postgresql() {
    // There PostgreSQL counts always.
    if citus::leave_out("rates in memory") {
        return;
    }
    let (service, database) = Service::start().await;
    let mut random = fastrand::Rng::with_seed(23);
    for round in 0..3 {
        for _ in 0..90 {
            let (writer, body) = random_audit(&mut random);
            service.post(writer, &body).await.audit_id();
        }
        compare_rates(&service, &database).await;
        let others = [
            "SELECT 1",
            // Without a note of whose they were.
            "DELETE FROM resource_action_traces WHERE alert_name = 'Alert2'",
            // What older programs change: the last ones, the first ones, and those that fill in workloads.
            "UPDATE resource_action_traces SET model_used = 'old', counted_before = ARRAY['same'] WHERE alert_name = 'Alert1' AND namespace = 'ns-0';
             UPDATE resource_action_traces SET model_used = 'first', counted_before = NULL WHERE alert_name = 'Alert0' AND namespace = 'ns-0';
             UPDATE resource_action_traces SET workload = 'deployment/b' WHERE alert_name = 'Alert0' AND namespace = 'ns-1'",
        ];
        database.client.batch_execute(others[round]).await.expect(others[round]);
        // What is not counted changes alone, each fact of another request.
        for (n, (name, value)) in
            [("modelUsed", "tiny"), ("targetResource", "deployment/c"), ("alertFingerprint", "f-3")]
                .into_iter()
                .enumerate()
        {
            let request = 3 * round + n;
            let mut body = json!({"remediationRequestID": format!("rr-{request}"), "alertName": format!("Alert{}", request % 3),
                "namespace": format!("ns-{}", request % 2), "cluster": "c-1", "createdAt": format!("{}T0{round}:00:00Z", date_ago(1))});
            body[name] = json!(value);
            service.post(Writer::Executor, &body).await.audit_id();
        }
        compare_rates(&service, &database).await;
    }
}

/// Asks for rates from memory and from PostgreSQL.
async fn compare_rates(service: &Service, database: &Database) {
    let is_in_memory = async || {
        let before = rates_from_postgresql(service).await;
        service.read("/api/v1/stats/success-rate?group_by=day").await;
        (rates_from_postgresql(service).await == before).then_some(())
    };
    eventually("the attempts are in memory", is_in_memory).await;
    let in_memory = rates(service).await;
    assert!(in_memory.iter().any(|groups| groups.len() > 9), "{in_memory:?}");
    let before = rates_from_postgresql(service).await;
    database.rows("UPDATE count_state SET is_whole = false", &[]).await;
    let by_postgresql = rates(service).await;
    database.rows("UPDATE count_state SET is_whole = true", &[]).await;
    assert!(rates_from_postgresql(service).await > before, "PostgreSQL was asked");
    for (question, (in_memory, by_postgresql)) in QUESTIONS.iter().zip(in_memory.iter().zip(&by_postgresql)) {
        assert_eq!(in_memory, by_postgresql, "{question}");
    }
}

const QUESTIONS: [&str; 17] = [
    "",
    "group_by=alert_name",
    "group_by=action_type,severity,cluster",
    "group_by=namespace",
    "group_by=environment,model_used",
    "group_by=target",
    "group_by=day",
    "group_by=week,target",
    "group_by=month,day,action_type",
    "group_by=alert_name&status=completed",
    "group_by=action_type&alert_name=Alert0&namespace=ns-1",
    "group_by=action_type&namespace=ns-0&namespace=ns-1&status=failed&status=rolled_back",
    "group_by=day&since={since}&until={until}",
    "group_by=alert_name&target_resource=deployment%2Fa&target_resource=deployment%2Fc",
    "group_by=target&target_resource=deployment%2Fa&since={since}",
    "group_by=alert_name&remediation_request_id=rr-7",
    "group_by=alert_name&alert_fingerprint=f-1&alert_fingerprint=f-3",
];

/// The groups of each question, page by page.
async fn rates(service: &Service) -> Vec<Vec<Value>> {
    let (since, until) =
        (format!("{}T06:30:00Z", date_ago(FIRST_DAY)), format!("{}T00:00:00Z", date_ago(FIRST_DAY - 4)));
    let mut all = Vec::new();
    for question in QUESTIONS {
        let question = question.replace("{since}", &since).replace("{until}", &until);
        let (mut groups, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = service.read(&format!("/api/v1/stats/success-rate?limit=7&{question}{cursor}")).await;
            groups.extend(page["data"].as_array().expect("groups").iter().cloned());
            let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        all.push(groups);
    }
    all
}

/// How often PostgreSQL was asked for rates.
async fn rates_from_postgresql(service: &Service) -> f64 {
    let name = "datastorage_db_transaction_duration_seconds_count{name=\"query.success_rate\"}";
    service.metrics().await.get(name).copied().unwrap_or_default()
}

/// An audit of one of sixty requests, at a time of its own: with some facts and not with others.
fn random_audit(random: &mut fastrand::Rng) -> (Writer, Value) {
    let request = random.u8(0..60);
    let day = date_ago(FIRST_DAY - random.u64(0..6));
    let time = format!("{day}T{:02}:{:02}:00Z", random.u8(0..24), random.u8(0..60));
    let mut body = json!({"remediationRequestID": format!("rr-{request}")});
    if random.u8(0..3) > 0 {
        (body["executedAt"], body["status"]) = (
            json!(time),
            json!(["completed", "completed", "failed", "rolled_back", "cancelled", "in_progress"][random.usize(0..6)]),
        );
        if random.bool() {
            body["durationMs"] = json!(random.u32(1..90_000_000));
        }
    } else {
        body["createdAt"] = json!(time);
    }
    for (name, value) in [
        ("alertName", format!("Alert{}", request % 3)),
        ("namespace", format!("ns-{}", request % 2)),
        ("cluster", "c-1".to_owned()),
    ] {
        if body.get("executedAt").is_none() || random.bool() {
            body[name] = json!(value);
        }
    }
    for (name, values) in [
        ("actionType", ["restart", "scale"]),
        ("severity", ["high", "low"]),
        ("environment", ["production", "staging"]),
        ("modelUsed", ["small", "large"]),
        ("alertFingerprint", ["f-1", "f-2"]),
        ("targetResource", ["deployment/a", "pod/a-6f7d8c9b5d-x2k4q"]),
    ] {
        if random.bool() {
            body[name] = json!(values[random.usize(0..2)]);
        }
    }
    (Writer::Executor, body)
}

/// The filter is for few incidents, as far as the planner can tell, and fits very many.
#[tokio::test]
async fn success_rates_of_one_crowded_place() {
    let (service, database) = Service::start().await;
    database
        .rows(
            "INSERT INTO resource_action_traces (
                bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace, cluster_name,
                target_resource, model_confidence, execution_status, created_at, updated_at)
            SELECT n % 1024, n * 1024 + n % 1024, 'crowd-' || n, date_trunc('month', now()) + n * interval '1 millisecond', 'Alert', 'high',
                'restart', 'shop', 'eu-1', 'deployment/web', 0.9, 'completed', now(), now()
            FROM generate_series(1::bigint, 30000) AS n",
            &[],
        )
        .await;
    let path = "/api/v1/stats/success-rate?group_by=action_type&alert_name=Alert&namespace=shop&cluster=eu-1";
    let rates = service.read(path).await;
    assert_eq!(rates["data"][0]["n"], 30_000, "{rates}");
    assert_eq!(rates["data"][0]["recurred"], 29_999, "{rates}");
}
