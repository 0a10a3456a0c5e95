//! A write is idempotent: by its content, by its key, and for a while by the content of a body without any time.

use crate::go_clients::now;
use crate::support::{Database, Service, Writer, eventually_long, gateway_audit};
use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;

const PATH: &str = "/api/v1/audit/remediation";

#[tokio::test]
async fn the_same_content_is_one_audit() {
    let (mut service, database) = Service::start().await;
    let mut body = gateway_audit("rr-1");
    body["createdAt"] = json!(now(-10));
    let first = service.post(Writer::Gateway, &body).await;
    assert!(!first.is_replay());
    let again = service.post(Writer::Gateway, &body).await;
    assert!(again.is_replay());
    assert_eq!(first.audit_id(), again.audit_id());
    // The same content from another writer is another audit.
    let other = service.post(Writer::AiAnalysis, &body).await;
    assert!(!other.is_replay());
    assert_ne!(first.audit_id(), other.audit_id());
    let before = service.incident_of("rr-1").await;
    let updated =
        database.rows("SELECT updated_at::text FROM resource_action_traces", &[]).await[0].get::<_, String>(0);
    // Another process recognises the replay too, after a restart.
    service.kill();
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    assert!(service.post(Writer::Gateway, &body).await.is_replay());
    assert_eq!(service.incident_of("rr-1").await, before);
    assert_eq!(
        database.rows("SELECT updated_at::text FROM resource_action_traces", &[]).await[0].get::<_, String>(0),
        updated
    );
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 2);
}

#[tokio::test]
async fn many_at_once_are_one_audit() {
    let (service, database) = Service::start().await;
    let other = Service::on(&database.url, &[]).await;
    other.logged("ready").await;
    let mut body = gateway_audit("rr-1");
    body["createdAt"] = json!(now(0));
    let bodies: Vec<_> = (0..60)
        .map(|n| if n % 2 == 0 { service.post(Writer::Gateway, &body) } else { other.post(Writer::Gateway, &body) })
        .collect();
    let answers = join_all(bodies).await;
    let ids: std::collections::HashSet<String> = answers.iter().map(|answer| answer.audit_id()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    let keyed: Vec<_> = (0..40)
        .map(|n| {
            let service = if n % 2 == 0 { &service } else { &other };
            let text = gateway_audit("rr-2").to_string();
            async move { service.post_raw(Writer::Gateway, PATH, &text, &[("idempotency-key", "one")]).await }
        })
        .collect();
    let answers = join_all(keyed).await;
    let ids: std::collections::HashSet<String> = answers.iter().map(|answer| answer.audit_id()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 2);
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, 2);
}

#[tokio::test]
async fn a_key_takes_the_place_of_the_content() {
    let (service, database) = Service::start().await;
    let mut body = gateway_audit("rr-1");
    body["createdAt"] = json!(now(-10));
    let text = body.to_string();
    let post =
        async |writer, text: &str, key: &str| service.post_raw(writer, PATH, text, &[("Idempotency-Key", key)]).await;
    let first = post(Writer::Gateway, &text, "k1").await;
    assert!(!first.is_replay());
    let again = post(Writer::Gateway, &text, "k1").await;
    assert!(again.is_replay());
    assert_eq!(first.audit_id(), again.audit_id());
    // Two keys make two audits, and two writers may use the same key.
    assert!(!post(Writer::Gateway, &text, "k2").await.is_replay());
    assert!(!post(Writer::AiAnalysis, &text, "k1").await.is_replay());
    body["cluster"] = json!("other");
    let reused = post(Writer::Gateway, &body.to_string(), "k1").await;
    assert_eq!((reused.status.as_u16(), &reused.json()["error"]), (422, &json!("idempotency_key_reused")));
    // Another remediation request under the same key is another content too.
    assert_eq!(post(Writer::Gateway, &gateway_audit("rr-9").to_string(), "k1").await.status, 422);
    assert_eq!(database.number("SELECT count(*) FROM idempotency_keys").await, 3);
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 3);
    // A key holds beyond the window, also for a body without any time.
    let untimed = gateway_audit("rr-3").to_string();
    let first = post(Writer::Gateway, &untimed, "k3").await;
    age_keys(&database, TimeDelta::days(365)).await;
    let again = post(Writer::Gateway, &untimed, "k3").await;
    assert!(again.is_replay());
    assert_eq!(first.audit_id(), again.audit_id());
}

#[tokio::test]
async fn a_body_without_a_time_is_a_replay_for_a_while() {
    let (service, database) = Service::start().await;
    let body = gateway_audit("rr-1");
    let first = service.post(Writer::Gateway, &body).await;
    let again = service.post(Writer::Gateway, &body).await;
    assert!(again.is_replay());
    assert_eq!(first.audit_id(), again.audit_id());
    age_keys(&database, TimeDelta::minutes(11)).await;
    let later = service.post(Writer::Gateway, &body).await;
    assert!(!later.is_replay());
    assert_ne!(first.audit_id(), later.audit_id());
    assert!(service.post(Writer::Gateway, &body).await.is_replay());
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 2);
    // Contents are forgotten some time after their window. Keys are never forgotten.
    service
        .post_raw(Writer::Gateway, PATH, &gateway_audit("rr-k").to_string(), &[("idempotency-key", "k")])
        .await
        .audit_id();
    age_keys(&database, TimeDelta::minutes(11)).await;
    eventually_long("old contents are forgotten", async || {
        (database.number("SELECT count(*) FROM idempotency_keys").await == 1).then_some(())
    })
    .await;
    let step = json!({"workflowID": "w", "stepName": "s", "stepStatus": "completed"});
    let first = service.post_step(&step).await;
    assert_eq!(first.audit_id(), service.post_step(&step).await.audit_id());
}

/// A time outside the window is refused, unless the audit is stored already.
#[tokio::test]
async fn a_stale_audit_is_only_good_as_a_replay() {
    let (mut service, database) = Service::start().await;
    let mut body = gateway_audit("rr-1");
    body["createdAt"] = json!(now(-3600));
    let first = service.post(Writer::Gateway, &body).await;
    let keyed = service.post_raw(Writer::Gateway, PATH, &body.to_string(), &[("idempotency-key", "k")]).await;
    service.kill();
    let service = Service::on(&database.url, &[("AUDIT_MAX_AGE", "10m")]).await;
    service.logged("ready").await;
    let again = service.post(Writer::Gateway, &body).await;
    assert!(again.is_replay());
    assert_eq!(first.audit_id(), again.audit_id());
    let again = service.post_raw(Writer::Gateway, PATH, &body.to_string(), &[("idempotency-key", "k")]).await;
    assert_eq!((again.is_replay(), keyed.audit_id()), (true, again.audit_id()));
    body["cluster"] = json!("other");
    for headers in [&[][..], &[("idempotency-key", "k")]] {
        let refused = service.post_raw(Writer::Gateway, PATH, &body.to_string(), headers).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (400, &json!("createdAt")));
    }
}

/// Has all keys been claimed that long ago.
async fn age_keys(database: &Database, age: TimeDelta) {
    let update = "UPDATE idempotency_keys SET received_at = $1";
    database.client.execute(update, &[&(Utc::now() - age)]).await.expect("rows");
}
