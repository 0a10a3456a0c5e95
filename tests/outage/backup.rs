//! A backup by PostgreSQL's own tools, taken while the service writes: what was acknowledged before it began is there after the restore, in lists,
//! totals and searches, and the service goes on where the backup ended.

use crate::support::{Service, Writer, data_storage, eventually, gateway_audit, server, succeeds};
use serde_json::json;
use std::process::Command;

/// Runs one of PostgreSQL's programs against the test's server.
fn run(program: &str, args: &[&str]) {
    let path = server().programs().join(program);
    let output = Command::new(path).args(args).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_is_whole() {
    let (service, database) = Service::start().await;
    for n in 0..60 {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
        service
            .post_step(&json!({"workflowID": format!("w-{n}"), "stepName": "s", "stepStatus": "completed"}))
            .await
            .audit_id();
    }
    eventually("nothing waits for its vector", async || {
        (service.read("/health").await["parts"]["outbox"]["rows"] == 0).then_some(())
    })
    .await;
    let keyed = service
        .post_raw(
            Writer::Gateway,
            "/api/v1/audit/remediation",
            &gateway_audit("rr-keyed").to_string(),
            &[("idempotency-key", "one")],
        )
        .await
        .audit_id();
    let folder = tempfile::tempdir().expect("a folder");
    let dump = folder.path().join("data_storage.dump");
    let (url, dump) = (database.url.clone(), dump.to_str().expect("a path").to_owned());
    // Writers go on meanwhile.
    let backup = tokio::task::spawn_blocking({
        let dump = dump.clone();
        move || run("pg_dump", &["--format=custom", "--file", &dump, &url])
    });
    let mut n = 60;
    while !backup.is_finished() {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
        n += 1;
    }
    backup.await.expect("no panic");
    drop(service);

    let restored = format!("{}_restored", database.name);
    let maintenance = server().connect("postgres").await;
    maintenance.batch_execute(&format!("CREATE DATABASE {restored} TEMPLATE template0")).await.expect("a database");
    run("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", &server().url(&restored), &dump]);
    let service = Service::on(&server().url(&restored), &[]).await;
    service.logged("ready").await;
    service.migrated().await;
    let list = service.read("/api/v1/incidents?limit=1000").await;
    let (total, listed) = (list["pagination"]["total"].as_u64(), list["data"].as_array().expect("a page").len());
    assert_eq!(total, Some(listed as u64));
    assert!((61..=n + 1).contains(&listed), "{listed} of {n}");
    assert_eq!(service.read("/api/v1/workflows?limit=1000").await["data"].as_array().expect("a page").len(), 60);
    let facets = service.read("/api/v1/incidents/facets?fields=severity").await;
    let counted = facets["data"]["severity"]["values"].as_array().expect("values").iter();
    assert_eq!(counted.filter_map(|value| value["count"].as_u64()).sum::<u64>(), listed as u64);
    let mut check = data_storage(&server().url(&restored), &["check", "--totals", "--auth-mode", "static"]);
    check.arg("--auth-tokens-file").arg(service.tokens()).env("LISTEN_ADDR", service.address.to_string());
    succeeds(check.env("METRICS_ADDR", service.metrics_address.to_string())).await;
    let found = service.search(&json!({"query": "HighMemoryUsage", "limit": 100})).await.json();
    assert!(found["data"].as_array().is_some_and(|hits| !hits.is_empty()), "{found}");
    // Repeats of what was acknowledged before the backup are replays still; and writes go on.
    let again = service
        .post_raw(
            Writer::Gateway,
            "/api/v1/audit/remediation",
            &gateway_audit("rr-keyed").to_string(),
            &[("idempotency-key", "one")],
        )
        .await;
    assert!(again.is_replay() && again.audit_id() == keyed);
    service.post(Writer::Gateway, &gateway_audit("rr-after")).await.audit_id();
    let total = service.read("/api/v1/incidents?limit=1").await["pagination"]["total"].as_u64();
    assert_eq!(total, Some(listed as u64 + 1));
}
