//! Retention drops whole months and everything that belongs to them; the other months stay as they are, and totals stay exact.

use crate::support::{Database, Service, Writer, data_storage, eventually, gateway_audit, server, succeeds};
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
    service.migrated().await;
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
    service.migrated().await;
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
    succeeds(&mut data_storage(&database.url, &["check", "--totals"])).await;

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

/// An incident stays, with all that belongs to it, while its latest audit lies in a kept month; the others of its month go.
#[tokio::test]
async fn what_goes_on_is_kept() {
    let database = server().database().await;
    let mut service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    for n in 0..12 {
        let request = format!("rr-{n}");
        // The first month has some that go on, the next one none.
        for (months, status) in [(if n < 8 { 5 } else { 4 }, "failed"), (4, "in_progress")] {
            let mut body = gateway_audit(&request);
            body["createdAt"] = json!(months_ago(months));
            body["status"] = json!(status);
            service.post(Writer::Gateway, &body).await.audit_id();
        }
        let step = json!({"workflowID": format!("wf-{n}"), "stepName": "scale", "stepStatus": "completed",
            "remediationRequestID": request, "executedAt": months_ago(5)});
        service.post_step(&step).await.audit_id();
        if n < 3 {
            let report = json!({"remediationRequestID": request, "status": "completed", "executedAt": months_ago(0)});
            service.post(Writer::Executor, &report).await.audit_id();
        }
    }
    let kept = service.incident_of("rr-0").await["id"].clone();
    service.kill();
    // What an older program has written does not say when the latest audit came.
    database
        .client
        .execute("UPDATE resource_action_traces SET last_audit_at = NULL WHERE id % 2 = 0", &[])
        .await
        .expect("older");
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    service.logged("ready").await;
    service.migrated().await;
    eventually("forgotten", async || (count(&database, "incident_ids").await == 3).then_some(())).await;
    for (table, rows) in [
        ("resource_action_traces", 3),
        ("remediation_audit", 9),
        ("workflow_audit", 3),
        ("incident_workflows", 3),
        ("earlier_attempts", 3),
    ] {
        eventually(table, async || (count(&database, table).await == rows).then_some(())).await;
    }
    let month =
        |months: u32| Utc::now().checked_sub_months(Months::new(months)).expect("a time").format("y%Ym%m").to_string();
    let partition = |months: u32| {
        format!("SELECT count(*) FROM pg_class WHERE relname = 'resource_action_traces_{}'", month(months))
    };
    assert_eq!(database.number(&partition(5)).await, 1, "it has some that go on");
    eventually("the other month goes", async || (database.number(&partition(4)).await == 0).then_some(())).await;
    let whole = service.read(&format!("/api/v1/incidents/{kept}")).await;
    assert_eq!((&whole["execution_status"], whole["audits"].as_array().map(Vec::len)), (&json!("completed"), Some(3)));
    // It goes on further: it is the same incident.
    service.post(Writer::Gateway, &gateway_audit("rr-0")).await.audit_id();
    assert_eq!(service.incident_of("rr-0").await["id"], kept);
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 3);
    let rates = service.read("/api/v1/stats/success-rate?group_by=cluster").await;
    assert_eq!(rates["data"][0]["failed"], 3, "the attempts before are kept too: {rates}");
    succeeds(&mut data_storage(&database.url, &["check", "--totals"])).await;
    drop(service);
    // Once its latest audit is old too, it goes as the others did, and its partition with it.
    let old = Utc::now().checked_sub_months(Months::new(6)).expect("a time");
    database.client.execute("UPDATE resource_action_traces SET last_audit_at = $1", &[&old]).await.expect("aged");
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    eventually("the last of its month", async || (count(&database, "resource_action_traces").await == 0).then_some(()))
        .await;
    eventually("its partition", async || (database.number(&partition(5)).await == 0).then_some(())).await;
    eventually("all that it had", async || (count(&database, "earlier_attempts").await == 0).then_some(())).await;
    drop(service);
}
