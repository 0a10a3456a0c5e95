//! Every audit that has text gets its vector after the commit, whatever happens to the vector store.

use crate::support::{Service, Writer, citus, data_storage, eventually, gateway_audit, server, succeeds};
use serde_json::json;

#[tokio::test]
async fn every_text_gets_its_vector_and_every_pattern_one_entry() {
    let (service, database) = Service::start().await;
    for n in 0..20 {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["reasoning"] = json!(format!("pod web-7d9f8b6c5-x{n}2lp was killed {n} times"));
        service.post(Writer::Gateway, &body).await.audit_id();
        // An execution report without any text has nothing to embed.
        let report = json!({"remediationRequestID": format!("rr-{n}"), "executedAt": crate::go_clients::now(-n)});
        service.post(Writer::Executor, &report).await.audit_id();
    }
    let nothing = json!({"remediationRequestID": "rr-x", "alertName": "12345", "namespace": "n", "cluster": "c"});
    service.post(Writer::Gateway, &nothing).await.audit_id();
    eventually("an empty outbox", async || {
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
    assert_eq!(database.number("SELECT count(*) FROM audit_embeddings").await, 20);
    assert_eq!(database.number("SELECT count(*) FROM embedding_patterns").await, 1);
    // Of a copy, since distributed tables are not joined by the pattern.
    let copy = "CREATE TEMPORARY TABLE copied AS SELECT pattern, embedder, embedding FROM embedding_patterns";
    database.client.batch_execute(copy).await.expect("copied");
    let same = "SELECT count(*) FROM audit_embeddings e JOIN copied p USING (pattern, embedder)
        JOIN remediation_audit a ON a.id = e.audit_id AND a.bucket = e.bucket
        WHERE e.embedding = p.embedding AND round(vector_norm(e.embedding)::numeric, 4) = 1 AND vector_dims(e.embedding) = 768";
    assert_eq!(database.number(same).await, 20);
    let metrics = service.metrics().await;
    assert_eq!(metrics["datastorage_dualwrite_success_total"], 20.0);
    assert!(metrics["datastorage_cache_misses_total"] >= 1.0);
}

/// The vector store is another database, and away when the service starts. No client notices, and all vectors are
/// written later.
#[tokio::test]
async fn a_vector_store_that_comes_later() {
    // A database without the extension is refused there.
    if citus::leave_out("a vector store that comes later") {
        return;
    }
    let url = server().url("vectors_later");
    let (mut service, database) = Service::start_with(&[("VECTOR_DATABASE_URL", &url)]).await;
    for n in 0..30 {
        assert_eq!(service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.status, 201);
    }
    assert_eq!(service.get("/health/ready").await.status, 200);
    eventually("degraded", async || (service.read("/health").await["status"] == "degraded").then_some(())).await;
    assert_eq!(database.number("SELECT count(*) FROM embedding_outbox").await, 30);
    // The service is killed in between, so that only the outbox knows which vectors are missing.
    service.kill();
    let service = Service::on(&database.url, &[("VECTOR_DATABASE_URL", &url)]).await;
    service.logged("ready").await;
    server().connect("postgres").await.batch_execute("CREATE DATABASE vectors_later").await.expect("a database");
    let vectors = server().connect("vectors_later").await;
    eventually("an empty outbox", async || {
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
    let count: i64 = vectors.query_one("SELECT count(*) FROM audit_embeddings", &[]).await.expect("rows").get(0);
    assert_eq!(count, 30);
    eventually("ok again", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
}

#[tokio::test]
async fn without_an_embedder_nothing_waits_and_reindex_makes_up_for_it() {
    let (mut service, database) = Service::start_with(&[("EMBEDDER", "off")]).await;
    for n in 0..5 {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
    }
    assert_eq!(database.number("SELECT count(*) FROM embedding_outbox").await, 0);
    let reindex = async |more: &[&str]| {
        let settings = ["--auth-mode", "static", "--auth-tokens-file", "/dev/null"];
        succeeds(data_storage(&database.url, &["reindex"]).args(settings).args(more)).await
    };
    let vectors = async || database.number("SELECT count(*) FROM audit_embeddings").await;
    let said = reindex(&["--no-wait"]).await;
    assert!(said.starts_with("5 audits queued"), "{said}");
    assert_eq!(vectors().await, 0, "nobody embeds");
    service.kill();
    // Without a service, and it ends when the vectors are there.
    let said = reindex(&[]).await;
    assert!(said.starts_with("0 audits"), "they were queued already: {said}");
    assert_eq!(vectors().await, 5);
    database.client.batch_execute("DELETE FROM audit_embeddings").await.expect("gone");
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    let said = reindex(&[]).await;
    assert!(said.starts_with("5 audits have their vector now"), "beside a service: {said}");
    assert_eq!(database.number("SELECT count(*) FROM audit_embeddings").await, 5);
}
