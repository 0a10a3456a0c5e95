//! The connections to one database after the other go bad: only the requests that need this database fail, and they succeed again
//! once its connections are good.

use crate::support::proxy::{Proxy, Way};
use crate::support::{Service, Writer, eventually, gateway_audit, server};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

struct Ways {
    write: Proxy,
    read: Proxy,
    vector: Proxy,
}

async fn start() -> (Service, crate::support::Database, Ways) {
    let database = server().database().await;
    let ways = Ways { write: Proxy::start().await, read: Proxy::start().await, vector: Proxy::start().await };
    let (read, vector) = (ways.read.url(&database.name), ways.vector.url(&database.name));
    let settings =
        [("READ_DATABASE_URL", read.as_str()), ("VECTOR_DATABASE_URL", vector.as_str()), ("REQUEST_DEADLINE", "2s")];
    let service = Service::on(&ways.write.url(&database.name), &settings).await;
    service.logged("ready").await;
    service.migrated().await;
    service.post(Writer::Gateway, &gateway_audit("rr-0")).await.audit_id();
    (service, database, ways)
}

/// Every request has its answer within this time, also while a database is silent: ten deadlines, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn post(service: &Service, request: &str) -> u16 {
    let body = gateway_audit(request);
    let answer = timeout(PATIENCE, service.post(Writer::Gateway, &body)).await.expect("an answer in time");
    assert!(answer.status == 201 || answer.header("retry-after").is_some(), "{}", answer.text);
    answer.status.as_u16()
}

async fn list(service: &Service) -> u16 {
    let answer = timeout(PATIENCE, service.get("/api/v1/incidents")).await.expect("an answer in time");
    answer.status.as_u16()
}

async fn state(service: &Service, part: &str) -> String {
    service.read("/health").await["parts"][part]["state"].as_str().expect("a state").to_owned()
}

const BAD: [Way; 3] = [Way::Cut, Way::Silent, Way::Drip];

#[tokio::test]
async fn the_write_database() {
    let (service, database, ways) = start().await;
    for (n, way) in BAD.into_iter().enumerate() {
        ways.write.set(way);
        let request = format!("rr-write-{n}");
        eventually("posts fail", async || (post(&service, &request).await == 503).then_some(())).await;
        for _ in 0..5 {
            assert_eq!(list(&service).await, 200, "{way:?}: reads go on");
        }
        assert_eq!(service.get("/health/live").await.status, 200);
        assert_eq!(service.get("/health/ready").await.status, 200, "reads are still served");
        eventually("down in /health", async || (state(&service, "write_database").await == "down").then_some(())).await;
        ways.write.set(Way::Open);
        eventually("posts again", async || (post(&service, &request).await == 201).then_some(())).await;
        eventually("up in /health", async || (state(&service, "write_database").await == "up").then_some(())).await;
        assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, n as i64 + 2, "each once");
    }
    // Slow is not down.
    ways.write.set(Way::Delay(Duration::from_millis(20)));
    eventually("slow posts", async || (post(&service, "rr-slow").await == 201).then_some(())).await;
}

#[tokio::test]
async fn the_read_database() {
    let (service, _database, ways) = start().await;
    for (n, way) in BAD.into_iter().enumerate() {
        ways.read.set(way);
        eventually("lists fail", async || (list(&service).await == 503).then_some(())).await;
        for k in 0..5 {
            assert_eq!(post(&service, &format!("rr-read-{n}-{k}")).await, 201, "{way:?}: writes go on");
        }
        assert_eq!(service.get("/health/ready").await.status, 200);
        ways.read.set(Way::Open);
        eventually("lists again", async || (list(&service).await == 200).then_some(())).await;
    }
}

#[tokio::test]
async fn the_vector_database() {
    let (service, database, ways) = start().await;
    let (mut posted, mut fallbacks) = (1, 0.0);
    for way in BAD {
        ways.vector.set(way);
        for _ in 0..10 {
            assert_eq!(post(&service, &format!("rr-vector-{posted}")).await, 201, "{way:?}: nobody notices");
            posted += 1;
        }
        assert_eq!(list(&service).await, 200);
        eventually("searches are 503", async || {
            let body = json!({"query": "memory"});
            let answer = timeout(PATIENCE, service.search(&body)).await.expect("an answer in time");
            (answer.status == 503).then_some(())
        })
        .await;
        eventually("degraded", async || (service.read("/health").await["status"] == "degraded").then_some(())).await;
        // Before the store is good again: on a busy machine the first try may come late.
        eventually("a try has failed", async || {
            let failed = service.metrics().await["datastorage_fallback_mode_total"];
            (failed > fallbacks).then(|| fallbacks = failed)
        })
        .await;
        ways.vector.set(Way::Open);
        eventually("made up for", async || {
            let waiting = database.number("SELECT count(*) FROM embedding_outbox").await;
            let there = database.number("SELECT count(DISTINCT audit_id) FROM audit_embeddings").await;
            (waiting == 0 && there == posted).then_some(())
        })
        .await;
    }
    assert_eq!(database.number("SELECT count(*) FROM audit_embeddings").await, posted, "none twice");
}
