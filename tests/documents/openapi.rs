//! The OpenAPI document: printed by the program, and true of the service.

use crate::pages::file;
use crate::support::{Service, Writer};
use reqwest::Method;
use serde_json::Value;

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

/// Go's generated client refuses an answer in which a text that has a pattern is left out.
#[test]
fn what_an_answer_may_leave_out_has_no_pattern() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let is_posted = |name: &str| ["RemediationAudit", "WorkflowAudit", "Search", "SearchFilters"].contains(&name);
    let mut seen = 0;
    for (name, schema) in schemas.iter().filter(|(name, _)| !is_posted(name)) {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (field, of) in schema["properties"].as_object().into_iter().flatten() {
            seen += 1;
            assert!(of.get("pattern").is_none() || required.contains(&field.as_str().into()), "{name}.{field}");
        }
    }
    assert!(seen > 100, "{seen}");
}

#[tokio::test]
async fn paths_examples_and_answers_are_true() {
    let (service, _database) = Service::start().await;
    let document = document();
    let schemas = &document["components"]["schemas"];
    let remediation = service.post(Writer::Gateway, &schemas["RemediationAudit"]["example"]).await;
    let step = service.post_step(&schemas["WorkflowAudit"]["example"]).await;
    assert_eq!(remediation.status, 201);
    let id = service.incident_of("rr-abc123").await["id"].clone();
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
            assert!(operation["responses"].get("200").or(operation["responses"].get("201")).is_some(), "{path}");
            // Every answer is compared with the document (`support/contract.rs`).
            if method == "get" {
                service.read(&real).await;
            }
        }
        // What a path does not list it does not allow.
        let answer = service.send(Method::DELETE, &real, &[], None).await;
        assert_eq!(answer.status, 405, "{path}");
    }
    let found = service.search(&schemas["Search"]["example"]).await;
    assert_eq!(found.status, 200);
    // Every parameter of the lists is known to the service.
    let paths = ["incidents", "incidents/facets", "stats/success-rate", "stats/counts", "audits", "workflows"];
    for path in paths.iter().map(|path| format!("/api/v1/{path}")).chain([format!("/api/v1/incidents/{id}/similar")]) {
        let parameters = if path.ends_with("similar") { "/api/v1/incidents/{id}/similar" } else { &path };
        let mut query = String::new();
        for parameter in document["paths"][parameters]["get"]["parameters"].as_array().expect("parameters") {
            let parameter = match parameter["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).expect("a parameter"),
                None => parameter,
            };
            let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "query") else { continue };
            let value = match name {
                "severity" => "high",
                "status" => "failed",
                "since" | "until" | "received_since" | "received_until" => "2026-01-01T00:00:00Z",
                "as_of" => "2126-01-01T00:00:00Z",
                "limit" => "1",
                "offset" => "0",
                "total" => "false",
                "order" => "oldest",
                "interval" => "week",
                "type" => "remediation",
                "min_similarity" => "0.5",
                "half_life" => "7d",
                "include" => "text",
                "collapse" => "pattern",
                "explain" => "1",
                "group_by" | "fields" => "namespace,cluster",
                "cursor" => continue,
                _ => "x",
            };
            query.push_str(&format!("{name}={value}&"));
        }
        assert!(query.len() > 40, "{path}: {query}");
        service.read(&format!("{path}?{query}")).await;
    }
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
