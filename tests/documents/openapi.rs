//! The OpenAPI document: printed by the program, and true of the service.

use crate::pages::file;
use crate::support::{Service, Writer};
use reqwest::Method;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&file("docs/openapi.json")).expect("JSON")
}

#[test]
fn the_program_prints_it() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_data-storage")).arg("openapi").output().expect("it runs");
    assert!(output.status.success());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), document());
}

/// A value fits a schema of the document, as far as the document's own words go.
fn check(schema: &Value, value: &Value, at: &str) {
    let document = document();
    if let Some(reference) = schema["$ref"].as_str() {
        return check(document.pointer(&reference[1..]).expect(reference), value, at);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(part, value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    assert!(types.is_empty() || types.iter().any(|name| is(name)), "{at}: {value} is no {types:?}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{at}.{name} is missing in {value}");
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            check(schema, value, &format!("{at}.{name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        check(&schema["items"], item, at);
    }
}

#[tokio::test]
async fn paths_examples_and_answers_are_true() {
    let (service, _database) = Service::start().await;
    let document = document();
    let schemas = &document["components"]["schemas"];
    let remediation = service.post(Writer::Gateway, &schemas["RemediationAudit"]["example"]).await;
    let step = service.post_step(&schemas["WorkflowAudit"]["example"]).await;
    check(&schemas["Persisted"], &remediation.json(), "Persisted");
    let id = service.incident_of("rr-abc123").await["id"].clone();
    check(&schemas["Incident"], &schemas["Incident"]["example"], "the example");
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let real = match path.as_str() {
            "/api/v1/incidents/{id}" => format!("/api/v1/incidents/{id}"),
            "/api/v1/incidents/{id}/similar" => format!("/api/v1/incidents/{id}/similar?min_similarity=0"),
            "/api/v1/incidents/{id}/timeline" => format!("/api/v1/incidents/{id}/timeline"),
            "/api/v1/audits/{id}" => format!("/api/v1/audits/{}", step.audit_id()),
            "/api/v1/workflows/{id}/steps" => "/api/v1/workflows/wf-1/steps".to_owned(),
            path => path.to_owned(),
        };
        for (method, operation) in operations.as_object().expect("operations") {
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            if method == "get" {
                check(schema, &service.read(&real).await, path);
            }
        }
        // What a path does not list it does not allow.
        let answer = service.send(Method::DELETE, &real, &[], None).await;
        assert_eq!(answer.status, 405, "{path}");
        check(&schemas["Problem"], &answer.json(), path);
    }
    let found = service.search(&schemas["Search"]["example"]).await;
    check(&schemas["Similar"], &found.json(), "a search");
    // Every parameter of the list is known to the service.
    let mut query = String::new();
    for parameter in document["paths"]["/api/v1/incidents"]["get"]["parameters"].as_array().expect("parameters") {
        let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "query") else { continue };
        let value = match name {
            "severity" => "high",
            "status" => "failed",
            "since" | "until" => "2026-01-01T00:00:00Z",
            "limit" => "1",
            "offset" => "0",
            "total" => "false",
            "cursor" => continue,
            _ => "x",
        };
        query.push_str(&format!("{name}={value}&"));
    }
    assert_eq!(service.read(&format!("/api/v1/incidents?{query}")).await["data"], json!([]));
}

/// Every route of the source has its operation.
#[test]
fn no_route_is_missing() {
    let (routes, document) = (file("src/routes/mod.rs"), document());
    let paths: Vec<&str> =
        routes.split('"').filter(|part| part.starts_with("/api/") || part.starts_with("/health")).collect();
    assert!(paths.len() >= 9);
    for path in paths {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
}
