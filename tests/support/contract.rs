//! The OpenAPI document as a contract: whatever the service answers in a test is an answer that the document describes, field by field.

use super::Answer;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// The document, in which no schema of an answer lets unknown fields through.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../docs/openapi.json");
    let mut document: Value = serde_json::from_str(text).expect("JSON");
    close(&mut document["components"]["schemas"]);
    document
});

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks an answer; a path of the API only. What no operation of the document answers is a fault, and so is a body that it does not
/// describe.
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    if *method == Method::HEAD || path.starts_with("/debug") || path == "/metrics" {
        return;
    }
    let status = answer.status.as_str();
    let told = format!("{method} {path}: {status}");
    let operation = operation(path).and_then(|operations| operations.get(&method.as_str().to_ascii_lowercase()));
    let response = match operation {
        Some(operation) => resolve(&operation["responses"][status]),
        // Another path, or another method.
        None => {
            assert!(matches!(answer.status.as_u16(), 400 | 404 | 405 | 431), "{told} is not in the document");
            &DOCUMENT["components"]["responses"]["NotFound"]
        }
    };
    assert!(response.is_object(), "{told} is not in the document: {}", answer.text);
    if response.get("content").is_none() {
        assert!(answer.text.is_empty(), "{told} has a body: {}", answer.text);
        return;
    }
    let content = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let schema = &response["content"][content]["schema"];
    assert!(schema.is_object(), "{told} has the content type {content}");
    let body = serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{told}: {error}"));
    let validator = validator(schema);
    let faults: Vec<String> =
        validator.iter_errors(&body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{told} is not as the document says: {faults:#?}\n{body}");
}

/// What can be done with a path.
fn operation(path: &str) -> Option<&'static Map<String, Value>> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (mut asked, mut known) = (path.split('/'), template.split('/'));
        loop {
            match (asked.next(), known.next()) {
                (None, None) => return true,
                (Some(asked), Some(known)) if asked == known || known.starts_with('{') && !asked.is_empty() => {}
                _ => return false,
            }
        }
    };
    // A path without variables comes before one with.
    let exact = paths.get(path);
    exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, operations)| operations))?.as_object()
}

fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).expect("it is there"),
        None => value,
    }
}

fn validator(schema: &Value) -> Arc<jsonschema::Validator> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().expect("no panic");
    let key = schema.to_string();
    let made = validators.entry(key).or_insert_with(|| {
        let mut whole = schema.clone();
        whole["components"] = DOCUMENT["components"].clone();
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.build(&whole).expect("a schema"))
    });
    made.clone()
}
