//! Retention beside readers and writers: nobody waits for it, and nothing of what is dropped stays anywhere.

use crate::support::{Database, Service, Writer, citus, data_storage, eventually, gateway_audit, server, succeeds};
use chrono::{Months, Utc};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn months_ago(months: u32) -> String {
    Utc::now().checked_sub_months(Months::new(months)).expect("a time").to_rfc3339()
}

async fn count(database: &Database, table: &str) -> i64 {
    database.number(&format!("SELECT count(*) FROM {table}")).await
}

/// Readers of all incidents that overlap, so that the table is never without one.
async fn read_all_the_time(database: String, stop: Arc<AtomicBool>) {
    let client = server().connect(&database).await;
    while !stop.load(Ordering::SeqCst) {
        client.query("SELECT count(*), pg_sleep(0.7) FROM resource_action_traces", &[]).await.expect("read");
    }
}

#[tokio::test]
async fn a_month_goes_although_it_is_always_read() {
    // There readers wait for a month that goes.
    if citus::leave_out("a month goes although it is always read") {
        return;
    }
    let database = server().database().await;
    let mut service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    for n in 0..40 {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["createdAt"] = json!(months_ago(if n % 4 == 0 { 0 } else { 5 }));
        service.post(Writer::Gateway, &body).await.audit_id();
    }
    // Steps of no incident, one of them tied to a request that has none, and keys.
    let step = json!({"workflowID": "wf-2", "stepName": "s", "stepStatus": "completed", "executedAt": months_ago(5),
        "remediationRequestID": "rr-nobody"});
    service.post_step(&step).await.audit_id();
    let step = json!({"workflowID": "wf", "stepName": "s", "stepStatus": "completed", "executedAt": months_ago(5)});
    service.post_step(&step).await.audit_id();
    service.kill();
    let headers = [("idempotency-key", "k")];
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    let body = gateway_audit("rr-0").to_string();
    service.post_raw(Writer::Gateway, "/api/v1/audit/remediation", &body, &headers).await.audit_id();
    let old = Utc::now().checked_sub_months(Months::new(6)).expect("a time");
    database.client.execute("UPDATE idempotency_keys SET received_at = $1", &[&old]).await.expect("aged");
    drop(service);

    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        (0..3).map(|_| tokio::spawn(read_all_the_time(database.name.clone(), stop.clone()))).collect();
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    service.logged("ready").await;
    service.migrated().await;
    let months = format!(
        "SELECT count(*) FROM pg_class WHERE relname = 'resource_action_traces_y{}'",
        Utc::now().checked_sub_months(Months::new(5)).expect("a time").format("%Ym%m")
    );
    eventually("the month is gone", async || {
        // Totals are exact at every moment, and no read waits.
        let list = service.read("/api/v1/incidents?limit=100").await;
        let (total, shown) = (&list["pagination"]["total"], list["data"].as_array().expect("a list").len());
        assert_eq!(total, &json!(shown), "{list}");
        (database.number(&months).await == 0).then_some(())
    })
    .await;
    eventually("forgotten", async || (count(&database, "incident_ids").await == 10).then_some(())).await;
    for (table, kept) in
        [("workflow_audit", 0), ("incident_workflows", 0), ("idempotency_keys", 0), ("remediation_audit", 11)]
    {
        eventually(table, async || (count(&database, table).await == kept).then_some(())).await;
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("read to the end");
    }
}

/// A request that is audited anew after its month has ended, and before retention comes round, opens an incident that shows nothing of the
/// old one, and nothing of the old one stays.
#[tokio::test]
async fn a_request_that_comes_back_before_its_incident_is_dropped() {
    let database = server().database().await;
    let mut service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    let mut body = gateway_audit("rr");
    body["createdAt"] = json!(months_ago(5));
    body["reasoning"] = json!("memory ran out");
    service.post(Writer::Gateway, &body).await.audit_id();
    eventually("its vector", async || (count(&database, "audit_embeddings").await == 1).then_some(())).await;
    let old = service.incident_of("rr").await["id"].clone();
    service.kill();
    // Retention comes round at the start and then once an hour: here another process holds it up.
    let other = server().connect(&database.name).await;
    other.execute("SELECT pg_advisory_lock(7261003)", &[]).await.expect("locked");
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    service.logged("ready").await;
    service.migrated().await;
    let mut again = gateway_audit("rr");
    again["reasoning"] = json!("the disk is full");
    service.post(Writer::Gateway, &again).await.audit_id();
    let new = service.incident_of("rr").await["id"].clone();
    assert_ne!(new, old);
    let detail = service.read(&format!("/api/v1/incidents/{new}")).await;
    assert_eq!((&detail["audits_total"], &detail["reasoning"]), (&json!(1), &json!("the disk is full")), "{detail}");
    assert_eq!(service.get(&format!("/api/v1/incidents/{old}")).await.status, 404);
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 1);
    other.execute("SELECT pg_advisory_unlock(7261003)", &[]).await.expect("unlocked");
    drop(service);
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    service.logged("ready").await;
    service.migrated().await;
    for (table, kept) in
        [("dropped_incidents", 0), ("audit_embeddings", 1), ("incident_facts", 1), ("embedding_patterns", 1)]
    {
        eventually(table, async || (count(&database, table).await == kept).then_some(())).await;
    }
    succeeds(&mut data_storage(&database.url, &["check", "--totals"])).await;
}

/// A service that ended between the detachment of a month and its drop has left a table that is no partition any more.
#[tokio::test]
async fn a_month_that_was_detached_and_not_dropped() {
    let database = server().database().await;
    let mut service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    for (n, months) in [(0, 5), (1, 5), (2, 0)] {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["createdAt"] = json!(months_ago(months));
        service.post(Writer::Gateway, &body).await.audit_id();
    }
    service.kill();
    let month = Utc::now().checked_sub_months(Months::new(5)).expect("a time").format("resource_action_traces_y%Ym%m");
    let detach = format!("ALTER TABLE resource_action_traces DETACH PARTITION {month}");
    database.client.batch_execute(&detach).await.expect("detached");
    let service = Service::on(&database.url, &[("RETENTION_MONTHS", "2")]).await;
    service.logged("ready").await;
    service.migrated().await;
    let table = format!("SELECT count(*) FROM pg_class WHERE relname = '{month}'");
    eventually("dropped", async || (database.number(&table).await == 0).then_some(())).await;
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 1);
}
