//! A panic in an actor or in a flush fails the requests that it touches; the next requests are served.

use crate::support::{Service, Writer, eventually, eventually_long, gateway_audit};
use serde_json::json;

async fn panic(service: &Service, name: &str) -> u16 {
    let url = format!("http://{}/debug/panic/{name}", service.metrics_address);
    service.client.post(url).send().await.expect("an answer").status().as_u16()
}

async fn use_all(service: &Service, request: &str) {
    service.post(Writer::Gateway, &gateway_audit(request)).await.audit_id();
    service.incident_of(request).await;
    let body = json!({"query": "memory"});
    let found = service.search(&body).await;
    assert_eq!(found.status, 200, "{} {:?}", found.text, service.log());
}

#[tokio::test]
async fn every_actor_comes_back() {
    let (service, database) = Service::start().await;
    use_all(&service, "rr-before").await;
    for (n, actor) in ["auth", "pg_writer", "vector_writer", "query", "similarity", "embedder"].into_iter().enumerate()
    {
        assert_eq!(panic(&service, actor).await, 204, "{actor}");
        eventually("restarted", async || {
            let name = format!("datastorage_actor_restarts_total{{actor=\"{actor}\"}}");
            (service.metrics().await.get(&name) == Some(&1.0)).then_some(())
        })
        .await;
        use_all(&service, &format!("rr-{n}")).await;
        assert_eq!(service.get("/health/live").await.status, 200);
    }
    eventually("all vectors", async || {
        (database.number("SELECT count(*) FROM audit_embeddings").await == 7).then_some(())
    })
    .await;
    assert_eq!(panic(&service, "nobody").await, 404);
}

#[tokio::test]
async fn a_panic_in_a_flush_costs_its_own_requests() {
    let (service, database) = Service::start().await;
    assert_eq!(panic(&service, "flush").await, 204);
    let answer = service.post(Writer::Gateway, &gateway_audit("rr-lost")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (500, Some("internal_error")));
    use_all(&service, "rr-next").await;
    use_all(&service, "rr-lost").await;
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 2);
    let log = service.log();
    assert!(
        log.iter().any(|line| line["message"] == "actor died; restarting it" && line["actor"] == "pg_writer"),
        "{log:?}"
    );
}

/// An actor that dies again and again is given up, even if it answers just now: the platform restarts the process.
#[tokio::test]
async fn too_many_in_a_row_fail_liveness() {
    let (service, _database) = Service::start().await;
    give_up(&service).await;
    eventually("the actor answers", async || (service.get("/api/v1/incidents").await.status == 200).then_some(()))
        .await;
    assert_eq!(service.get("/health/live").await.status, 503);
}

/// Has the query actor die until it is given up.
pub async fn give_up(service: &Service) {
    eventually_long("given up", async || {
        panic(service, "query").await;
        let restarts = service.metrics().await["datastorage_actor_restarts_total{actor=\"query\"}"];
        (restarts >= 10.0).then_some(())
    })
    .await;
}
