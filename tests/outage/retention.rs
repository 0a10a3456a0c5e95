//! Retention drops whole months and everything that belongs to them; the other months stay as they are, and totals stay exact.

use crate::support::{Database, Service, Writer, eventually, gateway_audit, server};
use chrono::{Months, Utc};
use serde_json::json;

fn months_ago(months: u32) -> String {
    Utc::now().checked_sub_months(Months::new(months)).expect("a time").to_rfc3339()
}

async fn fill(service: &Service) {
    for (n, months) in [(0, 5), (1, 5), (2, 4), (3, 0), (4, 1)] {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["createdAt"] = json!(months_ago(months));
        // What is dropped has a pattern of its own, what is kept has another.
        body["reasoning"] = json!(if months > 2 { "memory ran out" } else { "the disk is full" });
        let key = format!("key-{n}");
        let headers = [("idempotency-key", key.as_str())];
        service.post_raw(Writer::Gateway, "/api/v1/audit/remediation", &body.to_string(), &headers).await.audit_id();
        let step = json!({"workflowID": format!("wf-{n}"), "stepName": "scale", "stepStatus": "completed",
            "remediationRequestID": format!("rr-{n}"), "executedAt": months_ago(months)});
        service.post_step(&step).await.audit_id();
    }
    // A workflow of an old incident and of a new one.
    for request in ["rr-0", "rr-3"] {
        let step = json!({"workflowID": "wf-shared", "stepName": request, "stepStatus": "completed", "remediationRequestID": request});
        service.post_step(&step).await.audit_id();
    }
}

async fn count(database: &Database, table: &str) -> i64 {
    database.number(&format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn months_are_dropped_with_what_belongs_to_them() {
    let database = server().database().await;
    let mut service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    fill(&service).await;
    eventually("all vectors", async || {
        (count(&database, "audit_embeddings").await == 5 && count(&database, "embedding_outbox").await == 0)
            .then_some(())
    })
    .await;
    let old = service.incident_of("rr-0").await["id"].clone();
    service.kill();

    // Two replicas, so that they meet.
    let settings = [("RETENTION_MONTHS", "2")];
    let (service, other) = (Service::on(&database.url, &settings).await, Service::on(&database.url, &settings).await);
    service.logged("ready").await;
    other.logged("ready").await;
    eventually("forgotten", async || (count(&database, "incident_ids").await == 2).then_some(())).await;
    eventually("no vectors of them", async || (count(&database, "audit_embeddings").await == 2).then_some(())).await;
    for (table, kept) in [
        ("resource_action_traces", 2),
        ("remediation_audit", 2),
        ("incident_facts", 2),
        ("incident_patterns", 2),
        ("embedding_patterns", 1),
        ("embedding_pattern_words", 1),
        ("incident_workflows", 3),
        ("workflow_audit", 4),
        ("embedding_outbox", 0),
    ] {
        assert_eq!(count(&database, table).await, kept, "{table}");
    }
    // A word that no pattern has any more has no row.
    assert_eq!(database.number("SELECT count(*) FROM embedding_terms WHERE patterns <= 0").await, 0);
    for (term, patterns) in [("", 1), ("ran", 0), ("disk", 1)] {
        let counted = format!("SELECT COALESCE(sum(patterns), 0)::bigint FROM embedding_terms WHERE term = '{term}'");
        assert_eq!(database.number(&counted).await, patterns, "{term}");
    }
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'resource_action_traces'::regclass";
    assert!(database.number(partitions).await >= 3);
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 2);
    assert_eq!(service.get(&format!("/api/v1/incidents/{old}")).await.status, 404);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_data-storage"))
        .args(["check", "--totals", "--database-url", &database.url])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");

    // Too old is refused; a later audit of a dropped request opens a new incident.
    let mut late = gateway_audit("rr-0");
    late["createdAt"] = json!(months_ago(5));
    let answer = service.post(Writer::Gateway, &late).await;
    assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some("createdAt")));
    service.post(Writer::Gateway, &gateway_audit("rr-0")).await.audit_id();
    let new = service.incident_of("rr-0").await["id"].clone();
    assert_ne!(new, old);
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 3);
    for service in [&service, &other] {
        assert!(!service.log().iter().any(|line| line["level"] == "ERROR"), "{:?}", service.log());
    }
}
