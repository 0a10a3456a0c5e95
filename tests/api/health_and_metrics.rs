//! What operators see: health, metrics, the log, and an orderly end.

use crate::support::{Service, Writer, citus, eventually, gateway_audit, server};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::cell::RefCell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_promised_metrics_are_there() {
    let (service, _database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    service.post_step(&json!({"workflowID": "w", "stepName": "s", "stepStatus": "completed"})).await.audit_id();
    let mut failed = gateway_audit("rr");
    failed["status"] = json!("failed");
    for _ in 0..2 {
        // The second is a replay.
        service.post(Writer::Gateway, &failed).await.audit_id();
    }
    service.read("/api/v1/incidents").await;
    service.get("/nowhere").await;
    service.get("/api/v1/incidents?limit=x").await;
    let metrics = service.metrics().await;
    for (name, least) in [
        ("datastorage_write_total{status=\"success\",table=\"remediation_audit\"}", 1.0),
        ("datastorage_write_total{status=\"success\",table=\"workflow_audit\"}", 1.0),
        ("datastorage_outcomes_total{status=\"failed\"}", 1.0),
        ("datastorage_write_duration_seconds_count{table=\"remediation_audit\"}", 1.0),
        ("datastorage_query_total{operation=\"list_incidents\",status=\"success\"}", 1.0),
        ("datastorage_query_duration_seconds_count{operation=\"list_incidents\"}", 1.0),
        ("datastorage_validation_failures_total{field=\"limit\",reason=\"invalid\"}", 1.0),
        ("datastorage_embedding_generation_duration_seconds_count", 0.0),
        ("datastorage_dualwrite_success_total", 0.0),
        ("datastorage_fallback_mode_total", 0.0),
        ("datastorage_cache_hits_total", 0.0),
        ("datastorage_cache_misses_total", 0.0),
        ("datastorage_token_cache_hits_total", 0.0),
        ("datastorage_token_cache_misses_total", 2.0),
        ("datastorage_http_requests_total{endpoint=\"/api/v1/incidents\",method=\"GET\",status=\"200\"}", 1.0),
        ("datastorage_http_requests_total{endpoint=\"unknown\",method=\"GET\",status=\"404\"}", 1.0),
        ("datastorage_actor_permits{actor=\"pg_writer\"}", 1.0),
        ("datastorage_actor_permits_in_use{actor=\"query\"}", 0.0),
        ("datastorage_actor_restarts_total{actor=\"embedder\"}", 0.0),
        ("datastorage_flush_rows_count", 2.0),
        ("datastorage_pool_connections{pool=\"write\",state=\"idle\"}", 1.0),
        ("datastorage_pool_wait_seconds_count{pool=\"write\"}", 1.0),
        ("datastorage_db_transaction_duration_seconds_count{name=\"pg_writer.flush\"}", 2.0),
        ("datastorage_outbox_rows", 0.0),
        ("datastorage_write_queue_depth", 0.0),
    ] {
        assert!(metrics.get(name).is_some_and(|value| *value >= least), "{name}: {:?}", metrics.get(name));
    }
    assert!(metrics["datastorage_outcomes_total{status=\"failed\"}"] < 2.0, "a replay is no outcome");
}

/// Nothing has happened yet: every family is there, and every series whose labels are known beforehand, at 0.
#[tokio::test]
async fn an_idle_service_has_all_metrics() {
    let (service, _database) = Service::start().await;
    eventually("its partitions are known", async || {
        (service.metrics().await["datastorage_partitions_ahead_months"] >= 3.0).then_some(())
    })
    .await;
    eventually("nobody looks at the vectors any more", async || {
        (service.metrics().await["datastorage_pool_connections{pool=\"vector_read\",state=\"in_use\"}"] == 0.0)
            .then_some(())
    })
    .await;
    let url = format!("http://{}/metrics", service.metrics_address);
    let text = service.client.get(url).send().await.expect("an answer").text().await.expect("text");
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 1_500, "{series}");
    let metrics = service.metrics().await;
    for zero in [
        "datastorage_outcomes_total{status=\"rolled_back\"}",
        "datastorage_query_total{operation=\"similar_incidents\",status=\"failure\"}",
        "datastorage_write_total{status=\"failure\",table=\"workflow_audit\"}",
        "datastorage_reviews_total{kind=\"token\",result=\"failure\"}",
        "datastorage_actor_rejected_total{actor=\"query\",reason=\"deadline\"}",
        "datastorage_mcp_calls_total{status=\"failure\",tool=\"get_history\"}",
        "datastorage_searches_total{kind=\"index\"}",
        "datastorage_pool_connections{pool=\"vector_read\",state=\"in_use\"}",
        "datastorage_tls_certificate_expiry_timestamp_seconds",
        "datastorage_replica_lag_seconds",
        "datastorage_client_connections_max",
    ] {
        let value = metrics.get(zero).unwrap_or_else(|| panic!("{zero} is missing"));
        assert!(*value == 0.0 || zero.ends_with("_max"), "{zero}: {value}");
    }
    assert!(metrics["datastorage_database_size_bytes{database=\"audit\"}"] > 1e6);
    assert!(metrics["process_resident_memory_bytes"] > 1e6);
    assert!(metrics.keys().any(|name| name.starts_with("datastorage_build_info{commit=\"")));
    assert!(!metrics.keys().any(|name| name.starts_with("datastorage_search_recall_ratio")), "nothing was compared");
    // What is wrong with a request is no failure of a read; what is missing is none either.
    service.get("/api/v1/incidents/1").await;
    service.get("/api/v1/incidents?limit=x").await;
    service.read("/api/v1/incidents/facets?fields=severity").await;
    let metrics = service.metrics().await;
    let of = |operation: &str, status: &str| {
        metrics[&format!("datastorage_query_total{{operation=\"{operation}\",status=\"{status}\"}}")]
    };
    assert_eq!((of("get_incident", "success"), of("get_incident", "failure")), (0.0, 0.0));
    assert_eq!((of("list_incidents", "success"), of("list_incidents", "failure")), (0.0, 0.0));
    assert_eq!(of("facets", "success"), 1.0);
    assert!(metrics["datastorage_client_connections"] >= 1.0, "the one that asked");
}

/// What worked, by alert: a bounded number of series of what clients write, those of most attempts.
#[tokio::test]
async fn recent_attempts_are_told_by_alert() {
    let (service, _database) = Service::start().await;
    for n in 0..60 {
        let mut audit = gateway_audit(&format!("rr-{n}"));
        audit["alertName"] = format!("Alert{n}").into();
        audit["actionType"] = "scale".into();
        audit["status"] = "completed".into();
        service.post(Writer::AiAnalysis, &audit).await.audit_id();
    }
    for (n, status) in ["completed", "failed", "failed"].iter().enumerate() {
        let mut audit = gateway_audit(&format!("again-{n}"));
        audit["targetResource"] = format!("deployment/web-{n}").into();
        audit["actionType"] = "\"scale\" up".into();
        audit["status"] = (*status).into();
        service.post(Writer::AiAnalysis, &audit).await.audit_id();
    }
    let told = async || {
        let metrics = service.metrics().await;
        let told = metrics.into_iter().filter(|(name, _)| name.starts_with("datastorage_recent_attempts{"));
        let told: std::collections::HashMap<String, f64> = told.collect();
        let of = |outcome: &str| {
            told.get(&format!("datastorage_recent_attempts{{action_type=\"\\\"scale\\\" up\",alert_name=\"HighMemoryUsage\",outcome=\"{outcome}\"}}")).copied()
        };
        ((of("completed"), of("failed"), of("recurred")) == (Some(1.0), Some(2.0), Some(0.0))).then_some(told.len())
    };
    assert_eq!(eventually("its attempts are told", told).await, 150);
}

/// A client may send any word as its method. No such word becomes a metric series.
#[tokio::test]
async fn methods_are_a_closed_set() {
    let (service, _database) = Service::start().await;
    for n in 0..5 {
        let method = Method::from_bytes(format!("EVIL{n}").as_bytes()).expect("a token");
        let answer = service.send(method.clone(), "/api/v1/incidents", &[], None).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("GET, HEAD")));
        assert_eq!(service.send(method, "/nowhere", &[], None).await.status, 404);
    }
    assert!(!service.metrics().await.keys().any(|name| name.contains("EVIL")));
}

#[tokio::test]
async fn the_request_id_goes_through() {
    let (service, _database) = Service::start().await;
    let answer = service.send(Method::GET, "/health", &[("x-request-id", "abc-123:x")], None).await;
    assert_eq!(answer.header("x-request-id"), Some("abc-123:x"));
    for bad in ["a b", "\"", &"x".repeat(129), ""] {
        let answer = service.send(Method::GET, "/health", &[("x-request-id", bad)], None).await;
        assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req-")), "{bad}");
    }
    let body = gateway_audit("rr-secret-name");
    service
        .post_raw(
            Writer::Gateway,
            "/api/v1/audit/remediation",
            &body.to_string(),
            &[("x-request-id", "mine"), ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
        )
        .await;
    let line =
        eventually("its line", async || service.log().into_iter().find(|line| line["request_id"] == "mine")).await;
    assert_eq!(
        (&line["status"], &line["route"], &line["method"]),
        (&json!(201), &json!("/api/v1/audit/remediation"), &json!("POST"))
    );
    assert_eq!(line["caller"], "system:serviceaccount:kubernaut-system:gateway-sa");
    assert_eq!(
        (&line["trace_id"], &line["parent_id"]),
        (&json!("4bf92f3577b34da6a3ce929d0e0e4736"), &json!("00f067aa0ba902b7"))
    );
    // Neither tokens nor bodies are logged.
    let log = serde_json::to_string(&service.log()).expect("JSON");
    assert!(!log.contains("token-of") && !log.contains("rr-secret-name"), "{log}");
}

/// The service starts without its database, says so, and is ready when the database comes.
#[tokio::test]
async fn a_database_that_comes_later() {
    // A database without the extension is refused there.
    if citus::leave_out("a database that comes later") {
        return;
    }
    let url = server().url("audits_later");
    let service = Service::on(&url, &[]).await;
    assert_eq!(service.get("/health/live").await.status, 200);
    let answer = service.get("/health/ready").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(service.read("/health").await["status"], "degraded");
    let answer = service.post(Writer::Gateway, &gateway_audit("rr")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (503, &json!("service_unavailable")));
    assert!(answer.header("retry-after").is_some());
    server().connect("postgres").await.batch_execute("CREATE DATABASE audits_later").await.expect("a database");
    service.logged("ready").await;
    assert_eq!(service.post(Writer::Gateway, &gateway_audit("rr")).await.status, 201);
    eventually("ok", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
}

/// SIGTERM under load: every request that was accepted is answered, and every acknowledged audit is stored.
#[tokio::test]
async fn a_drain_loses_nothing() {
    let (mut service, database) = Service::start().await;
    let posts = join_all((0..300).map(|n| {
        let (client, url) = (service.client.clone(), service.url("/api/v1/audit/remediation"));
        async move {
            let body = gateway_audit(&format!("rr-{n}")).to_string();
            let request =
                client.post(url).bearer_auth(Writer::Gateway.token()).header("content-type", "application/json");
            // A refused or closed connection is no answer.
            request.body(body).send().await.ok().map(|response| response.status().as_u16())
        }
    }));
    let stop = async {
        tokio::task::yield_now().await;
        service.stop().await
    };
    let (answers, status) = tokio::join!(posts, stop);
    assert!(status.success(), "{status}");
    assert!(!service.log().iter().any(|line| line["actor"] != json!(null)), "no actor is said to have died");
    let acknowledged = answers.iter().filter(|status| **status == Some(201)).count();
    assert!(answers.iter().flatten().all(|status| matches!(status, 201 | 503)), "{answers:?}");
    let written = database.number("SELECT count(*) FROM remediation_audit").await;
    assert!(written >= i64::try_from(acknowledged).expect("few"), "{written} of {acknowledged}");
}

/// For `SHUTDOWN_DELAY` behind the signal a service is not ready, and answers as before; each answer ends its connection.
#[tokio::test]
async fn clients_have_time_to_go_elsewhere() {
    let (mut service, database) = Service::start_with(&[("SHUTDOWN_DELAY", "5s")]).await;
    let first = service.post(Writer::Gateway, &gateway_audit("rr")).await;
    assert_eq!((first.status.as_u16(), first.header("connection")), (201, None));
    service.signal(rustix::process::Signal::TERM);
    service.logged("stopping after the delay").await;
    assert_eq!(service.get("/health/ready").await.status, 503);
    let health = service.read("/health").await;
    assert_eq!((&health["status"], &health["draining"]), (&json!("degraded"), &json!(true)));
    for n in 0..5 {
        let answer = service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (201, Some("close")), "{}", answer.text);
        assert_eq!(service.get("/api/v1/incidents").await.status, 200);
    }
    assert!(!service.log().iter().any(|line| line["message"] == "draining"), "the delay is not over");
    assert!(service.exited().await.success());
    service.logged("draining").await;
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 6);
}

/// A second signal skips the delay.
#[tokio::test]
async fn whoever_is_in_a_hurry_says_so_twice() {
    let (mut service, _database) = Service::start_with(&[("SHUTDOWN_DELAY", "1h")]).await;
    service.signal(rustix::process::Signal::TERM);
    service.logged("stopping after the delay").await;
    service.signal(rustix::process::Signal::INT);
    assert!(service.exited().await.success());
}

/// SIGTERM in the middle of a body: the service waits for the rest of the body, and refuses other requests meanwhile.
#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let (mut service, database) = Service::start().await;
    let body = gateway_audit("rr-in-flight");
    let (mut client, rest) = service.begin_to_post(Writer::Gateway, "/api/v1/audit/remediation", &body).await;
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.logged("draining").await["in_flight"], 1);
    assert_eq!(service.get("/health/ready").await.status, 503);
    client.write_all(rest.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(service.exited().await.success());
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 1);
}

/// The service is killed with -9 again and again under load. Every acknowledged audit is stored, once.
#[tokio::test]
async fn kill_minus_nine_loses_nothing() {
    let (mut service, database) = Service::start().await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let answered = RefCell::new(Vec::new());
        let posts = join_all((0..200).map(async |n| {
            let post =
                service.client.post(service.url("/api/v1/audit/remediation")).bearer_auth(Writer::Gateway.token());
            // A post that is under way when the service is killed has no answer.
            let Ok(response) = post.json(&gateway_audit(&format!("rr-{round}-{n}"))).send().await else { return };
            let Ok(answer) = response.json::<serde_json::Value>().await else { return };
            answered.borrow_mut().extend(answer["auditID"].as_str().map(str::to_owned));
        }));
        let kill = async {
            eventually("the first answers", async || (answered.borrow().len() > 10).then_some(())).await;
            service.signal(rustix::process::Signal::KILL);
        };
        tokio::join!(posts, kill);
        acknowledged.extend(answered.into_inner());
        service.exited().await;
        service = Service::on(&database.url, &[]).await;
        service.logged("ready").await;
    }
    assert!(acknowledged.len() > 30);
    for id in &acknowledged {
        assert_eq!(service.get(&format!("/api/v1/audits/{id}")).await.status, 200, "{id}");
    }
    let orphans = "SELECT count(*) FROM (SELECT DISTINCT remediation_request_id AS id FROM remediation_audit) a
        FULL JOIN resource_action_traces t ON t.correlation_id = a.id WHERE a.id IS NULL OR t.id IS NULL";
    assert_eq!(database.number(orphans).await, 0);
    eventually("an empty outbox", async || {
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
    let missing = "SELECT count(*) FROM (SELECT DISTINCT id FROM remediation_audit) a
        FULL JOIN (SELECT audit_id FROM audit_embeddings OFFSET 0) e ON e.audit_id = a.id WHERE a.id IS NULL OR e.audit_id IS NULL";
    assert_eq!(database.number(missing).await, 0);
}
