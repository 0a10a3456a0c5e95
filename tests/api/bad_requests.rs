//! Every way in which a request can be wrong gets its status, its error word and its field, and affects no other
//! request.

use crate::go_clients::now;
use crate::support::{Service, Writer, date_ago, gateway_audit, month_ago};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const REMEDIATION: &str = "/api/v1/audit/remediation";
const WORKFLOW: &str = "/api/v1/audit/workflow";

/// A gateway's body with one field changed.
fn with(field: &str, value: Value) -> String {
    let mut body = gateway_audit("rr");
    body[field] = value;
    body.to_string()
}

fn without(field: &str) -> String {
    let mut body = gateway_audit("rr");
    body.as_object_mut().expect("an object").remove(field);
    body.to_string()
}

/// Checks that an answer has the one shape of errors, with this status, word and field.
fn check_problem(answer: &crate::support::Answer, status: u16, word: &str, field: Option<&str>, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    assert_eq!(problem["error"], word, "{what}");
    assert_eq!(problem["type"], format!("https://kubernaut.ai/problems/{}", word.replace('_', "-")), "{what}");
    assert_eq!(problem["field"].as_str(), field, "{what}: {problem}");
    assert_eq!(problem["detail"], problem["message"], "{what}");
    for text in ["title", "detail", "instance"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{what}: {text}");
    }
    assert_eq!(problem["correlation_id"].as_str(), answer.header("x-request-id"), "{what}");
}

#[tokio::test]
async fn bodies() {
    let (service, database) = Service::start().await;
    let long = "x".repeat(256);
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let with_x = |x: &str| format!("{}, \"x\":{x}}}", gateway_audit("rr").to_string().trim_end_matches('}'));
    // What is wrong with these times is how they are written: rightly written, they would be taken.
    let day = date_ago(20);
    let february = (1..=12).map(month_ago).find(|month| month.ends_with("-02")).expect("one of twelve months");
    let table: Vec<(String, Option<&str>)> = vec![
        (String::new(), None),
        ("{".into(), None),
        ("[]".into(), None),
        ("null".into(), None),
        ("\"text\"".into(), None),
        ("{}}".into(), None),
        ("{\"a\":1,}".into(), None),
        ("{'a':1}".into(), None),
        ("\u{feff}{}".into(), Some("remediationRequestID")),
        ("\u{feff}\u{feff}{}".into(), None),
        ("{\"a\":NaN}".into(), None),
        ("{}".into(), Some("remediationRequestID")),
        (without("remediationRequestID"), Some("remediationRequestID")),
        (with("remediationRequestID", json!("")), Some("remediationRequestID")),
        (with("remediationRequestID", json!(7)), Some("remediationRequestID")),
        (with("remediationRequestID", json!(long)), Some("remediationRequestID")),
        (with("remediationRequestID", json!("a\0b")), Some("remediationRequestID")),
        (without("alertName"), Some("alertName")),
        (without("namespace"), Some("namespace")),
        (without("cluster"), Some("cluster")),
        (with("alertName", json!(long)), Some("alertName")),
        (with("namespace", json!(["n"])), Some("namespace")),
        (with("cluster", json!({})), Some("cluster")),
        (with("cluster", json!(true)), Some("cluster")),
        (with("priority", json!("P4")), Some("priority")),
        (with("priority", json!(1)), Some("priority")),
        (with("severity", json!("urgent")), Some("severity")),
        (with("actionType", json!(long)), Some("actionType")),
        (with("targetResource", json!("x".repeat(513))), Some("targetResource")),
        (with("status", json!("done")), Some("status")),
        (with("status", json!(" ")), Some("status")),
        (with("confidence", json!(1.01)), Some("confidence")),
        (with("confidence", json!(-0.1)), Some("confidence")),
        (with("confidence", json!("0.9")), Some("confidence")),
        (with("modelUsed", json!(long)), Some("modelUsed")),
        (with("alertFingerprint", json!(long)), Some("alertFingerprint")),
        (with("environment", json!(long)), Some("environment")),
        (with("duration", json!(-1)), Some("duration")),
        (with("duration", json!(1.5)), Some("duration")),
        (with("duration", json!("1 fortnight")), Some("duration")),
        (with("duration", json!("-3s")), Some("duration")),
        (with("duration", json!(9.3e18)), Some("duration")),
        (with("durationMs", json!(-5)), Some("durationMs")),
        (with("durationMs", json!("5")), Some("durationMs")),
        (with("durationMs", json!(i64::MAX)), Some("durationMs")),
        (
            format!(r#"{{"remediationRequestID":"r","executedAt":"{day}T00:00:00Z","duration":1,"durationMs":1}}"#),
            Some("durationMs"),
        ),
        (with("createdAt", json!("yesterday")), Some("createdAt")),
        (with("createdAt", json!(format!("{february}-30T00:00:00Z"))), Some("createdAt")),
        (with("createdAt", json!(format!("{day} 00:00:00Z"))), Some("createdAt")),
        (with("createdAt", json!(format!("{day}T00:00:00"))), Some("createdAt")),
        (with("createdAt", json!(1_700_000_000)), Some("createdAt")),
        (with("createdAt", json!(now(-401 * 86_400))), Some("createdAt")),
        (with("createdAt", json!(now(7200))), Some("createdAt")),
        (with("createdAt", json!("9999-12-31T23:59:59Z")), Some("createdAt")),
        (with("executedAt", json!("0001-01-02T00:00:00Z")), Some("executedAt")),
        (with("alert_name", json!("twice")), Some("alertName")),
        (r#"{"x":1,"x":2,"remediationRequestID":"r","alertName":"a","namespace":"n","cluster":"c"}"#.into(), Some("x")),
        (with_x("\"a\\u0000b\""), Some("x")),
        (with_x("{\"a\\u0000b\":1}"), Some("x")),
        (with_x("\"\\ud800\""), Some("x")),
        (with_x("{\"k\":1,\"k\":2}"), Some("x")),
        (with_x("1e999999"), Some("x")),
        (with_x(&deep), Some("x")),
        // The first wrong field in the order of the table.
        (r#"{"reasoning":"\u0000","remediationRequestID":5}"#.into(), Some("remediationRequestID")),
        (with("status", json!("rolledbac\u{212a}")), Some("status")),
        (with("createdAt", json!(format!("{day}T07:00:00\u{2212}01:00"))), Some("createdAt")),
    ];
    assert!(table.len() >= 60);
    for (body, field) in &table {
        let answer = service.post_raw(Writer::Gateway, REMEDIATION, body, &[]).await;
        let shown: String = body.chars().take(120).collect();
        check_problem(&answer, 400, "validation_failed", *field, &shown);
        assert!(answer.text.len() < 1200, "no echo of the body: {}", answer.text);
    }
    for (body, field) in [
        (json!({}), "workflowID"),
        (json!({"workflowID": "w"}), "stepName"),
        (json!({"workflowID": "w", "stepName": "s"}), "stepStatus"),
        (json!({"workflowID": "w", "stepName": "s", "stepStatus": "unknown"}), "stepStatus"),
        (
            json!({"workflowID": "w", "stepName": "s", "stepStatus": "failed", "duration": 0, "durationMs": 0}),
            "durationMs",
        ),
        (json!({"workflowID": "w", "stepName": "s", "stepStatus": "failed", "executedAt": "x"}), "executedAt"),
        (
            json!({"workflowID": "w", "stepName": "s", "stepStatus": "failed", "remediationRequestID": "x".repeat(256)}),
            "remediationRequestID",
        ),
    ] {
        let answer = service.post_step(&body).await;
        check_problem(&answer, 400, "validation_failed", Some(field), &body.to_string());
    }
    let not_utf8 = b"{\"remediationRequestID\":\"\xff\"}";
    let headers = [("authorization", "Bearer token-of-gateway-sa"), ("content-type", "application/json")];
    let answer = service.send(Method::POST, REMEDIATION, &headers, Some(not_utf8)).await;
    check_problem(&answer, 400, "validation_failed", None, "not UTF-8");
    let position = service.post_raw(Writer::Gateway, REMEDIATION, "{\n \"a\" 1}", &[]).await;
    assert!(position.json()["detail"].as_str().expect("text").contains("line 2, column 6"), "{}", position.text);
    for key in ["", "é", &"k".repeat(256)] {
        let answer =
            service.post_raw(Writer::Gateway, REMEDIATION, &with("x", json!(1)), &[("idempotency-key", key)]).await;
        check_problem(&answer, 400, "validation_failed", Some("Idempotency-Key"), key);
    }

    // The service is as healthy as before.
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 0);
    assert_eq!(service.read("/health").await["status"], "ok");
    assert_eq!(service.get("/health/live").await.status, 200);
    assert_eq!(service.post(Writer::Gateway, &gateway_audit("rr-after")).await.status, 201);
    let metrics = service.metrics().await;
    let count = |labels: &str| metrics.get(&format!("datastorage_validation_failures_total{{{labels}}}")).copied();
    assert_eq!(count("field=\"status\",reason=\"unknown_word\""), Some(3.0));
    assert_eq!(count("field=\"alertName\",reason=\"required\""), Some(1.0));
    assert_eq!(count("field=\"environment\",reason=\"too_long\""), Some(1.0));
    assert!(count("field=\"other\",reason=\"invalid\"").is_some_and(|n| n > 5.0));
    assert!(!service.log().iter().any(|line| line["message"] == "panic"));
}

#[tokio::test]
async fn paths_methods_tokens_and_media_types() {
    let (service, _database) = Service::start_with(&[("MAX_BODY_BYTES", "64KiB")]).await;
    for path in
        ["/api", "/api/v1/incidents//", "/api/v1/audit", "/metrics", "/api/v2/incidents", "/api/v1/incidents/1/2"]
    {
        check_problem(&service.get(path).await, 404, "not_found", None, path);
    }
    for (method, path, allow) in [
        (Method::GET, REMEDIATION, "POST"),
        (Method::PUT, WORKFLOW, "POST"),
        (Method::DELETE, "/api/v1/incidents", "GET, HEAD"),
        (Method::POST, "/api/v1/incidents/1", "GET, HEAD"),
        (Method::OPTIONS, "/api/v1/incidents", "GET, HEAD"),
        (Method::PATCH, "/health", "GET, HEAD"),
    ] {
        let answer = service.send(method.clone(), path, &[], None).await;
        check_problem(&answer, 405, "method_not_allowed", None, path);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    // The identity is checked first: 401 and 403 come before the faults of a body that is wrong in every way.
    let large = vec![b'x'; 70_000];
    for token in
        ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer wrong", "bearer token-of-gateway-sa x", "token-of-gateway-sa"]
    {
        let headers = [("authorization", token), ("content-type", "text/plain")];
        let answer = service.send(Method::POST, REMEDIATION, &headers, Some(&large)).await;
        check_problem(&answer, 401, "authentication_failed", None, token);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{token}");
    }
    check_problem(
        &service.send(Method::POST, REMEDIATION, &[], None).await,
        401,
        "authentication_failed",
        None,
        "none",
    );
    for (writer, path) in [
        (Writer::Gateway, WORKFLOW),
        (Writer::AiAnalysis, WORKFLOW),
        (Writer::Executor, WORKFLOW),
        (Writer::Workflow, REMEDIATION),
        (Writer::Stranger, REMEDIATION),
        (Writer::Stranger, WORKFLOW),
    ] {
        let answer = service.post_raw(writer, path, "not json", &[]).await;
        check_problem(&answer, 403, "authorization_failed", None, path);
    }
    let token = ("authorization", "bearer token-of-gateway-sa");
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin1", "json"]
    {
        let headers = [token, ("content-type", media_type)];
        let answer = service.send(Method::POST, REMEDIATION, &headers, Some(&large)).await;
        check_problem(&answer, 415, "unsupported_media_type", None, media_type);
    }
    let answer = service.send(Method::POST, REMEDIATION, &[token], Some(b"{}")).await;
    check_problem(&answer, 415, "unsupported_media_type", None, "no type");
    let headers = [token, ("content-type", "application/json"), ("content-encoding", "deflate")];
    check_problem(
        &service.send(Method::POST, REMEDIATION, &headers, Some(b"{}")).await,
        415,
        "unsupported_media_type",
        None,
        "deflate",
    );
    for media_type in ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.api+json"] {
        let headers = [token, ("content-type", media_type)];
        let answer = service.send(Method::POST, REMEDIATION, &headers, Some(&large)).await;
        check_problem(&answer, 413, "payload_too_large", None, media_type);
        let answer = service.send(Method::POST, REMEDIATION, &headers, Some(b"{}")).await;
        check_problem(&answer, 400, "validation_failed", Some("remediationRequestID"), media_type);
    }
    assert_eq!(service.post(Writer::Gateway, &gateway_audit("rr")).await.status, 201);
}

#[tokio::test]
async fn queries_and_ids() {
    let (service, _database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    service.post(Writer::Gateway, &gateway_audit("rr-2")).await.audit_id();
    let cursor =
        service.read("/api/v1/incidents?limit=1").await["pagination"]["next_cursor"].as_str().expect("more").to_owned();
    let long = format!("alert_name={}", "x".repeat(256));
    let with_filter = format!("cluster=x&cursor={cursor}");
    let with_offset = format!("offset=1&cursor={cursor}");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1.0", "limit"),
        ("limit=", "limit"),
        ("limit", "limit"),
        ("limit=5&limit=5", "limit"),
        ("offset=-1", "offset"),
        ("offset=9007199254740992", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("total=no", "total"),
        ("total=True", "total"),
        ("severity=urgent", "severity"),
        ("severity=", "severity"),
        ("status=done", "status"),
        ("since=yesterday", "since"),
        ("until=2026-13-01T00:00:00Z", "until"),
        ("alert_name=", "alert_name"),
        ("alert_name=%00", "alert_name"),
        ("alert_name=%ff", "alert_name"),
        (long.as_str(), "alert_name"),
        ("alertName=x", "alertName"),
        ("page=2", "page"),
        ("cursor=AAAA", "cursor"),
        (with_filter.as_str(), "cursor"),
        (with_offset.as_str(), "cursor"),
        // The first wrong parameter in the order of the contract.
        ("limit=0&severity=urgent", "severity"),
        ("until=&alert_name=%00", "alert_name"),
        ("nothing=1&limit=0", "limit"),
    ] {
        let answer = service.get(&format!("/api/v1/incidents?{query}")).await;
        check_problem(&answer, 400, "validation_failed", Some(field), query);
    }
    for id in ["0", "-1", "abc", "1.5", "9007199254740992", "99999999999999999999", "%31x", "1%00", "+1"] {
        let answer = service.get(&format!("/api/v1/incidents/{id}")).await;
        check_problem(&answer, 400, "validation_failed", Some("id"), id);
    }
    check_problem(&service.get("/api/v1/incidents/9007199254740991").await, 404, "not_found", None, "no incident");
    check_problem(&service.get("/api/v1/incidents/1?x=1").await, 400, "validation_failed", Some("x"), "a parameter");
    for id in ["audit-xyz789", "1", "audit-00000000-0000-8000-8000-000000000000"] {
        check_problem(&service.get(&format!("/api/v1/audits/{id}")).await, 404, "not_found", None, id);
    }
    check_problem(&service.get("/api/v1/workflows/%00/steps").await, 400, "validation_failed", Some("id"), "NUL");
    check_problem(&service.get("/api/v1/workflows/%ff/steps").await, 400, "validation_failed", Some("id"), "not UTF-8");
}

/// A large head, and a client that stops or is too slow in the middle of its body.
#[tokio::test]
async fn heads_and_slow_bodies() {
    let (service, _database) = Service::start_with(&[("REQUEST_DEADLINE", "3s")]).await;
    let answer = service.send(Method::GET, "/health", &[("x-large", &"x".repeat(33 * 1024))], None).await;
    check_problem(&answer, 431, "headers_too_large", None, "a header");
    let answer = service.get(&format!("/api/v1/incidents?alert_name={}", "x".repeat(33 * 1024))).await;
    check_problem(&answer, 431, "headers_too_large", None, "a query");
    let address = service.address;
    let text = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        let head = "POST /api/v1/audit/remediation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-of-gateway-sa\r\n\
                    Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
        socket.write_all(head.as_bytes()).expect("written");
        let mut text = String::new();
        let _ = socket.read_to_string(&mut text); // up to the close
        text
    })
    .await
    .expect("no panic");
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(text.contains("\"error\":\"request_timeout\""), "{text}");
    assert_eq!(service.post(Writer::Gateway, &gateway_audit("rr")).await.status, 201);
}

/// A request whose end or whose author is ambiguous is refused. Another request that is hidden in it is never read.
#[tokio::test]
async fn smuggled_headers() {
    let (service, database) = Service::start().await;
    let token = Writer::Gateway.token();
    let hidden = "GET /api/v1/incidents HTTP/1.1\r\nHost: a\r\n\r\n";
    for (headers, body) in [
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked", hidden.len() + 5), format!("0\r\n\r\n{hidden}")),
        ("Content-Length: 2\r\nContent-Length: 20".to_owned(), format!("{{}}{hidden}")),
        (format!("Content-Length: 2\r\nAuthorization: Bearer {token}"), "{}".to_owned()),
    ] {
        let request = format!(
            "POST /api/v1/audit/remediation HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n{headers}\r\n\r\n{body}"
        );
        let mut stream = tokio::net::TcpStream::connect(service.address).await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A refused connection may be reset after its answer.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 401"), "{headers}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers}: {answer}");
    }
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 0);
}
