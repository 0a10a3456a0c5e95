//! Upgrades: of filled databases of every schema that was released or landed, beside traffic, and beside an older program.
//!
//! A new migration adds a line to the list below, and to `upgrades/fill.rs` the rows that its program writes; rows that stand there already
//! are never changed. `upgrades/previous.rs` says what to do at a release.

mod captured;
mod distributed;
mod fill;
mod indexes;
mod locks;
mod previous;

use crate::support::{
    Answer, Database, Service, Writer, data_storage, eventually, eventually_long, gateway_audit, server, succeeds,
};
use captured::whole;
use data_storage_actors::migrate::{Migrations, Schema};
use fill::{EMBEDDED, INCIDENTS, KEY, KEYED, TEXTS, TIMED, TIMED_ID, fill};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A test for each pair of schemas: the last migration of the audit database and of the vector store.
macro_rules! upgrades {
    ($($name:ident: $audit:literal and $vector:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                upgrade($audit, $vector).await;
            }
        )*
    };
}

upgrades! {
    from_the_first_schema: 1 and 1;
    from_totals: 2 and 1;
    from_searches: 3 and 2;
    from_retention: 4 and 2;
    from_another_embedder: 4 and 3;
    from_ids_by_time: 5 and 3;
    from_facets: 5 and 4;
    from_revisions: 5 and 5;
    from_dropped_incidents: 6 and 6;
    from_attempts: 7 and 7;
    from_more_filters: 8 and 8;
    from_counts: 9 and 8;
    from_fewer_indexes: 10 and 8;
    from_workloads: 11 and 8;
    from_trace_ids: 12 and 8;
    from_marks_of_folds: 13 and 8;
}

/// The versions that the newest migrations have: a new one needs its line above.
#[test]
fn every_schema_is_upgraded_from() {
    let latest = [Schema::Audit, Schema::Vector].map(|schema| Migrations::of(schema).latest());
    assert_eq!(latest, [14, 8]);
}

async fn upgrade(audit: u8, vector: u8) {
    let database = server().database().await;
    for (schema, version) in [(Schema::Audit, audit), (Schema::Vector, vector)] {
        let older = Migrations::of(schema).up_to(version.into());
        older.apply(&whole(&database)).await.expect("the older schema");
    }
    fill(&database, audit.into(), vector.into()).await;
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    eventually("the vector store is migrated", async || {
        let health = service.read("/health").await;
        (health["parts"]["vector_write_database"]["migrated"] == true).then_some(())
    })
    .await;
    run(&database, &["check", "--totals"]).await;
    lists_are_complete(&service, 0).await;
    records_are_read_back(&service, &database).await;
    repeats_are_known(&service, &database).await;
    posting_goes_on(&service).await;
    lists_are_complete(&service, 10).await;
    run(&database, &["check", "--totals"]).await;
    targets_are_workloads(&service).await;
    facts_that_became_filters(&service, &database).await;
    searches_find_what_was_there(&service, &database).await;
    let faults: Vec<Value> = service.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(faults, Vec::<Value>::new());
}

/// Runs a command of the program on the database.
async fn run(database: &Database, arguments: &[&str]) {
    succeeds(&mut data_storage(&database.url, arguments)).await;
}

/// The exact totals of some filters.
async fn lists(service: &Service, totals: &[(&str, i64)]) {
    for (filter, total) in totals {
        let list = service.read(&format!("/api/v1/incidents?limit=1{filter}")).await;
        assert_eq!(list["pagination"]["total"], *total, "{filter}");
    }
}

/// Totals by each filter, and a walk through all incidents; `more` were posted since the upgrade, and one was executed.
async fn lists_are_complete(service: &Service, more: i64) {
    let executed = i64::from(more > 0);
    let totals = [
        ("", INCIDENTS + 1 + more),
        ("&alert_name=KubeNodeDiskFull", 100),
        ("&alert_name=Timed", 1),
        ("&namespace=shop", 151),
        ("&namespace=payments", 150),
        ("&severity=high", INCIDENTS + 1),
        ("&cluster=c-1", INCIDENTS + 1),
        ("&action_type=restart", 200 + executed),
        ("&alert_name=KubeNodeDiskFull&namespace=shop", 50),
        ("&environment=production", 100),
        ("&target_resource=pod/checkout-6f7d8c9b5d-x2k4b", 100),
        ("&namespace=shop&namespace=payments", 301),
        ("&status=failed", 100),
        ("&status=completed", 100 + executed),
        ("&status=pending", 101 + more - executed),
    ];
    lists(service, &totals).await;
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = service.read(&format!("/api/v1/incidents?limit=97{cursor}")).await;
        let requests =
            page["data"].as_array().expect("data").iter().map(|row| row["remediation_request_id"].to_string());
        seen.extend(requests);
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(i64::try_from(seen.len()).expect("few"), INCIDENTS + 1 + more);
}

async fn records_are_read_back(service: &Service, database: &Database) {
    for (n, status) in [(0, "completed"), (1, "failed"), (2, "pending"), (299, "pending")] {
        let kind = n % 3;
        let incident = service.incident_of(&format!("rr-old-{n}")).await;
        let error = if status == "failed" { json!(TEXTS[3].1) } else { Value::Null };
        let action = if status == "pending" { Value::Null } else { json!("restart") };
        for (field, value) in [
            ("alert_name", json!(TEXTS[kind].0)),
            ("alert_severity", json!("high")),
            ("cluster_name", json!("c-1")),
            ("execution_status", json!(status)),
            ("action_type", action),
            ("error_message", error),
        ] {
            assert_eq!(incident[field], value, "{field} of {n}");
        }
        let id = &incident["id"];
        let whole = service.read(&format!("/api/v1/incidents/{id}")).await;
        let audits = if status == "pending" { 1 } else { 2 };
        assert_eq!(whole["audits"].as_array().map(Vec::len), Some(audits), "{whole}");
        service.read(&format!("/api/v1/incidents/{id}/timeline")).await;
    }
    let ids = "SELECT id FROM remediation_audit UNION ALL SELECT id FROM workflow_audit ORDER BY id LIMIT 20";
    for row in database.rows(ids, &[]).await {
        service.read(&format!("/api/v1/audits/{}", row.get::<_, String>(0))).await;
    }
    assert_eq!(service.read("/api/v1/workflows/wf-old-10/steps").await["pagination"]["total"], 2);
}

/// A repeat of an old audit is none the newer for the upgrade, by its content and by its key.
async fn repeats_are_known(service: &Service, database: &Database) {
    let path = "/api/v1/audit/remediation";
    let timed = service.post_raw(Writer::Gateway, path, TIMED, &[]).await;
    let keyed = service.post_raw(Writer::Gateway, path, KEYED, &[("idempotency-key", KEY)]).await;
    let opened = "SELECT audit_id FROM idempotency_keys WHERE NOT windowed";
    let opened: String = database.rows(opened, &[]).await[0].get(0);
    let is_repeat_of = |answer: &Answer, id: &str| answer.is_replay() && answer.json()["auditID"] == id;
    assert!(is_repeat_of(&timed, &format!("audit-{TIMED_ID}")), "{timed:?}");
    assert!(is_repeat_of(&keyed, &opened), "{keyed:?}");
}

/// New incidents, and what is new of an old one.
async fn posting_goes_on(service: &Service) {
    for n in 0..10 {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-new-{n}"))).await.audit_id();
    }
    let report = json!({
        "remediationRequestID": "rr-old-2", "actionType": "restart", "status": "completed", "executedAt": crate::support::now(),
    });
    service.post(Writer::Executor, &report).await.audit_id();
    let incident = service.incident_of("rr-old-2").await;
    assert_eq!((&incident["execution_status"], &incident["alert_name"]), (&json!("completed"), &json!(TEXTS[2].0)));
    let step = json!({"workflowID": "wf-old-10", "stepName": "uncordon", "stepStatus": "completed", "duration": 1_000_000,
        "executedAt": crate::support::now(), "remediationRequestID": "rr-old-10"});
    assert_eq!(service.post_step(&step).await.status, 201);
    assert_eq!(service.read("/api/v1/workflows/wf-old-10/steps").await["pagination"]["total"], 3);
}

/// Also those of incidents that a program wrote which knew no workloads.
async fn targets_are_workloads(service: &Service) {
    eventually_long("workloads are filled in", async || {
        let rates = service.read("/api/v1/stats/success-rate?group_by=target&action_type=restart").await;
        let groups = rates["data"].as_array().expect("data");
        groups.iter().find(|group| group["target"] == "deployment/checkout" && group["n"] == 100).map(|_| ())
    })
    .await;
}

/// A search knows facts that were no filters when the incidents were written, before and after their copies are completed.
async fn facts_that_became_filters(service: &Service, database: &Database) {
    let count = async |filters: Value| {
        let found =
            search(service, json!({"query": "pods killed: out of memory", "limit": 100, "filters": filters})).await;
        found["data"].as_array().expect("data").len()
    };
    eventually_long("texts that waited have their vectors", async || {
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
    // Of the first schema nothing is searchable before `reindex`.
    let all = count(json!({"alert_name": "KubePodOOMKilled"})).await;
    assert_eq!(count(json!({"environment": "production"})).await, all);
    eventually_long("copies are completed", async || {
        (database.number("SELECT count(*) FROM incident_facts WHERE NOT is_complete").await == 0).then_some(())
    })
    .await;
    assert_eq!(count(json!({"environment": ["production", "x"], "namespace": ["shop", "payments"]})).await, all);
    assert_eq!(count(json!({"environment": "staging"})).await, 0);
}

async fn search(service: &Service, body: Value) -> Value {
    let answer = service.search(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// After `reindex` every incident is searchable, also those that older programs wrote.
async fn searches_find_what_was_there(service: &Service, database: &Database) {
    run(database, &["reindex"]).await;
    let query = json!({"query": "pods killed: out of memory, raise the limit", "limit": 100});
    eventually_long("all are searchable", async || {
        let coverage = search(service, query.clone()).await["coverage"].clone();
        (coverage["searched"] == INCIDENTS + 1 + 10 && coverage["pending"] == 0).then_some(())
    })
    .await;
    let of_memory = |hit: &Value| hit["alert_name"] == "KubePodOOMKilled" || hit["alert_name"] == "HighMemoryUsage";
    for (filter, value) in [("alert_name", "KubePodOOMKilled"), ("namespace", "payments"), ("status", "completed")] {
        let mut filtered = query.clone();
        filtered["filters"] = json!({filter: value});
        let hits = search(service, filtered).await["data"].as_array().expect("data").clone();
        let old = hits.iter().filter(|hit| of_memory(hit)).count();
        assert!(old >= 40, "{filter}: {old} of {}", hits.len());
    }
    // Of an old incident whose audits had their vectors, and of one whose audits had none.
    for n in [EMBEDDED - 2, INCIDENTS - 3] {
        let id = service.incident_of(&format!("rr-old-{n}")).await["id"].clone();
        let similar = service.read(&format!("/api/v1/incidents/{id}/similar?limit=100")).await;
        assert!(similar["data"].as_array().expect("data").len() >= 50, "{n}: {similar}");
    }
}
