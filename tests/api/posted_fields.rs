//! Every rule of a posted field, as it shows when the audit is read back.

use crate::go_clients::now;
use crate::support::{Service, Writer, date_ago, gateway_audit};
use serde_json::{Value, json};

/// Posts a body with one more field, and returns the audit as it is read back.
async fn posted(service: &Service, request: &str, field: &str, value: Value) -> Value {
    let mut body = gateway_audit(request);
    body[field] = value;
    let id = service.post(Writer::Gateway, &body).await.audit_id();
    service.read(&format!("/api/v1/audits/{id}")).await
}

#[tokio::test]
async fn words_and_synonyms() {
    let (service, _database) = Service::start().await;
    for (at, (given, status)) in [
        ("executing", "in_progress"),
        ("Running", "in_progress"),
        ("IN-PROGRESS", "in_progress"),
        ("processing", "in_progress"),
        ("success", "completed"),
        ("Succeeded", "completed"),
        ("error", "failed"),
        ("timed out", "failed"),
        ("canceled", "cancelled"),
        ("skipped", "cancelled"),
        ("rolledBack", "rolled_back"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = format!("rr-status-{at}");
        assert_eq!(posted(&service, &request, "status", json!(given)).await["status"], status, "{given}");
        assert_eq!(service.incident_of(&request).await["execution_status"], status, "{given}");
    }
    for (at, (given, severity)) in
        [("Critical", "critical"), ("warning", "medium"), ("INFO", "low"), ("high", "high")].into_iter().enumerate()
    {
        let request = format!("rr-severity-{at}");
        assert_eq!(posted(&service, &request, "severity", json!(given)).await["severity"], severity);
        // The severity beats the priority P0.
        assert_eq!(service.incident_of(&request).await["alert_severity"], severity, "{given}");
    }
    for (priority, severity) in [("p1", "high"), ("P2", "medium"), ("P3", "low")] {
        let request = format!("rr-{priority}");
        assert_eq!(posted(&service, &request, "priority", json!(priority)).await["priority"], priority.to_uppercase());
        assert_eq!(service.incident_of(&request).await["alert_severity"], severity, "{priority}");
    }
}

#[tokio::test]
async fn durations_times_and_zero_values() {
    let (service, _database) = Service::start().await;
    for (at, (field, given, millis)) in [
        ("duration", json!(1_999_999_999), json!(1999)),
        ("Duration", json!("1h0m1.5s"), json!(3_601_500)),
        ("duration_ms", json!(7), json!(7)),
        ("duration", json!(0), Value::Null),
        ("duration", Value::Null, Value::Null),
        ("duration", json!(0.0), Value::Null),
        ("durationMs", json!(0.0), Value::Null),
        ("duration", json!(i64::MAX), json!(9_223_372_036_854_i64)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(posted(&service, &format!("rr-d{at}"), field, given.clone()).await["durationMs"], millis, "{given}");
    }
    let day = date_ago(20);
    let audit = posted(&service, "rr-t", "executedAt", json!(format!("{day}T10:00:00.1234567+02:00"))).await;
    let old = service.post(Writer::Gateway, &json!({"remediationRequestID": "rr-z", "alertName": 0, "namespace": "", "cluster": null, "executedAt": now(-5)})).await;
    let old = service.read(&format!("/api/v1/audits/{}", old.audit_id())).await;
    assert_eq!(audit["executedAt"], format!("{day}T08:00:00.123456Z"));
    assert_eq!(audit["createdAt"], audit["executedAt"]);
    assert_eq!(
        (&old["alertName"], &old["assumed"]),
        (&json!("unknown"), &json!(["alertName", "namespace", "cluster"]))
    );
    assert_eq!(service.incident_of("rr-z").await["alert_name"], Value::Null);
    // A later audit states the name.
    service.post(Writer::Gateway, &gateway_audit("rr-z")).await.audit_id();
    assert_eq!(service.incident_of("rr-z").await["alert_name"], "HighMemoryUsage");
}

#[tokio::test]
async fn unknown_fields_are_kept_to_the_digit() {
    let (service, _database) = Service::start().await;
    let body = r#"{"remediationRequestID":"rr-u","alertName":"A","namespace":"n","cluster":"c","zero":0,"empty":"",
        "none":null,"metadata":{"big":123456789012345678901234567890.10,"list":[1,2.50,{"k":"\ud83d\ude00"}],"":1},
        "alert-name":"mine"}"#;
    let id = service.post_raw(Writer::Gateway, "/api/v1/audit/remediation", body, &[]).await.audit_id();
    let text = service.get(&format!("/api/v1/audits/{id}")).await.text;
    for part in [
        "123456789012345678901234567890.10",
        "2.50",
        "😀",
        r#""zero": 0"#,
        r#""empty": """#,
        r#""none": null"#,
        "\"alert-name\": \"mine\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let incident = service.incident_of("rr-u").await;
    let detail = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!(detail["attributes"]["alert-name"], "mine");
    // For each field, the latest audit that states the field counts.
    let more = json!({"remediationRequestID": "rr-u", "alertName": "A", "namespace": "n", "cluster": "c", "zero": 1});
    service.post(Writer::Gateway, &more).await.audit_id();
    let detail = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!((&detail["attributes"]["zero"], &detail["attributes"]["alert-name"]), (&json!(1), &json!("mine")));
}

#[tokio::test]
async fn text_is_any_unicode() {
    let (service, _database) = Service::start().await;
    for (at, text) in [
        "Ünïcödé",
        "日本語",
        "😀👩‍👩‍👧‍👦",
        "a\u{301}",
        "\u{202e}rtl",
        "tab\tnew\nline",
        "'; DROP TABLE x; --",
        "%00",
        "\u{feff}",
        "\u{10ffff}",
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = gateway_audit(&format!("rr-{at}-{text}"));
        body["alertName"] = json!(text);
        body["reasoning"] = json!(text);
        let id = service.post(Writer::Gateway, &body).await.audit_id();
        let audit = service.read(&format!("/api/v1/audits/{id}")).await;
        assert_eq!(
            (&audit["alertName"], &audit["remediationRequestID"]),
            (&json!(text), &body["remediationRequestID"])
        );
        let query = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let list = service.read(&format!("/api/v1/incidents?alert_name={query}")).await;
        assert_eq!(list["data"][0]["remediation_request_id"], body["remediationRequestID"], "{text}");
    }
    // Lengths are counted in characters. Each of these characters needs four bytes.
    let long = "😀".repeat(255);
    let mut body = gateway_audit(&long);
    for field in ["alertName", "namespace", "cluster", "actionType", "modelUsed", "alertFingerprint", "environment"] {
        body[field] = json!(long);
    }
    body["targetResource"] = json!("😀".repeat(512));
    body["reasoning"] = json!("x".repeat(64 * 1024));
    body["errorMessage"] = json!("é".repeat(32 * 1024));
    body["status"] = json!("failed");
    service.post(Writer::Gateway, &body).await.audit_id();
    let list = service.read("/api/v1/incidents?status=failed").await;
    assert_eq!(list["data"][0]["error_message"], json!("é".repeat(1000)));
    let detail = service.read(&format!("/api/v1/incidents/{}", list["data"][0]["id"])).await;
    assert_eq!(detail["error_message"], body["errorMessage"]);
}

#[tokio::test]
async fn steps_store_what_they_say() {
    let (service, _database) = Service::start().await;
    let id = service.post_step(&json!({"workflow_id": "wf/ü 1", "StepName": "s", "stepstatus": "timeless"})).await;
    assert_eq!((id.status.as_u16(), &id.json()["field"]), (400, &json!("stepStatus")));
    for (name, at) in [("second", -10), ("first", -20)] {
        let step = json!({"workflow_id": "wf/ü 1", "StepName": name, "stepstatus": "timedout", "executedAt": now(at), "extra": [1]});
        service.post_step(&step).await.audit_id();
    }
    let steps = service.read("/api/v1/workflows/wf%2F%C3%BC%201/steps").await;
    let names: Vec<&str> =
        steps["data"].as_array().expect("steps").iter().filter_map(|s| s["stepName"].as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!((&steps["data"][0]["durationMs"], &steps["data"][0]["stepStatus"]), (&json!(0), &json!("failed")));
    assert_eq!(steps["data"][0]["attributes"], json!({"extra": [1]}));
    assert_eq!(service.get("/api/v1/workflows/none/steps").await.status, 404);
    assert_eq!(
        service.read("/api/v1/workflows/wf%2F%C3%BC%201/steps?limit=1&offset=1").await["data"][0]["stepName"],
        "second"
    );
}

/// Every accepted time has its partition.
#[tokio::test]
async fn old_and_new_times_find_their_month() {
    let (service, database) = Service::start().await;
    for days in [399, 365, 200, 100, 31, 0] {
        let mut body = gateway_audit(&format!("rr-{days}"));
        body["createdAt"] = json!(now(-days * 86_400));
        service.post(Writer::Gateway, &body).await.audit_id();
    }
    let mut ahead = gateway_audit("rr-ahead");
    ahead["createdAt"] = json!(now(3500));
    service.post(Writer::Gateway, &ahead).await.audit_id();
    assert_eq!(database.number("SELECT count(*) FROM resource_action_traces").await, 7);
    assert_eq!(service.read("/api/v1/incidents").await["data"][0]["remediation_request_id"], "rr-ahead");
}

/// A long text is cut in its middle, and its repeat, which is the whole, is a replay.
#[tokio::test]
async fn long_texts_are_cut_and_integers_are_written_as_floats() {
    let (service, _database) = Service::start().await;
    let mut body = gateway_audit("rr");
    body["createdAt"] = json!(now(-5));
    body["reasoning"] = json!(format!("{}{}", "a".repeat(100_000), "z".repeat(100_000)));
    body["status"] = json!("aborted");
    let id = service.post(Writer::Gateway, &body).await.audit_id();
    assert!(service.post(Writer::Gateway, &body).await.is_replay());
    let audit = service.read(&format!("/api/v1/audits/{id}")).await;
    let kept = audit["reasoning"].as_str().expect("text");
    assert!(
        kept.starts_with("aaa") && kept.ends_with("zzz") && kept.contains("\n[134464 bytes left out]\n"),
        "{}",
        kept.len()
    );
    assert_eq!((&audit["truncated"], &audit["status"]), (&json!(["reasoning"]), &json!("cancelled")));
    body["reasoning"] = json!(format!("{}{}", "a".repeat(100_001), "z".repeat(99_999)));
    assert!(!service.post(Writer::Gateway, &body).await.is_replay(), "another whole is another content");

    let text =
        r#"{"remediationRequestID":"rr-2","executedAt":"AT","durationMs":5.0,"status":"time_out","severity":"PAGE"}"#;
    let text = format!("\u{feff}{}", text.replace("AT", &now(-3)));
    let path = "/api/v1/audit/remediation";
    service.post_raw(Writer::Executor, path, &text, &[]).await.audit_id();
    let incident = service.incident_of("rr-2").await;
    let found = ["duration", "execution_status", "alert_severity"].map(|field| incident[field].clone());
    assert_eq!(found, [json!(5), json!("failed"), json!("critical")]);
    // A POST takes no query parameters.
    for (path, query, field) in [
        ("/api/v1/audit/remediation", "dry_run=true", "dry_run"),
        ("/api/v1/audit/workflow", "x", "x"),
        ("/api/v1/incidents/search", "limit=5", "limit"),
    ] {
        let answer = service.post_raw(Writer::Gateway, &format!("{path}?{query}"), &text, &[]).await;
        let is_refused = answer.status == 400 && answer.json()["field"] == field || answer.status == 403;
        assert!(is_refused, "{path}: {}", answer.text);
    }
    assert_eq!(service.read("/api/v1/incidents").await["pagination"]["total"], 2);
}
