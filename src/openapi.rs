//! The OpenAPI document: one, of version 3.1, and the same in the words of version 3.0 for generators that need them.

use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The document of version 3.1.
pub const DOCUMENT: &str = include_str!("../docs/openapi.json");

/// The document in the words of version 3.0.
pub fn in_3_0() -> &'static str {
    static OLDER: LazyLock<String> = LazyLock::new(|| {
        let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
        older(&mut document);
        document["openapi"] = "3.0.3".into();
        // A license has no identifier there.
        if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
            license.remove("identifier");
        }
        format!("{document:#}\n")
    });
    &OLDER
}

/// Says what a schema says, and each one in it, without what 3.0 does not know.
fn older(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(older),
        Value::Object(members) => {
            members.values_mut().for_each(older);
            if is_schema(members) {
                take_null(members);
                for name in ["if", "then", "else", "propertyNames", "unevaluatedProperties"] {
                    members.remove(name);
                }
                if let Some(only) = members.remove("const") {
                    members.insert("enum".into(), json!([only]));
                }
                if let Some(Value::Array(examples)) = members.remove("examples") {
                    members.extend(examples.into_iter().next().map(|example| ("example".to_owned(), example)));
                }
                beside_reference(members);
            }
        }
        _ => {}
    }
}

fn is_schema(members: &Map<String, Value>) -> bool {
    let of_schemas = ["type", "anyOf", "oneOf", "allOf", "const", "enum", "if", "propertyNames"];
    // A parameter has a type of another kind in its schema, a security scheme one of its own.
    !members.contains_key("in")
        && !members.contains_key("scheme")
        && of_schemas.iter().any(|name| members.contains_key(*name))
        || members.contains_key("$ref")
}

/// `null` is no type in 3.0: what may be null is `nullable`, and what may be of several types is one of several schemas.
fn take_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get("type").cloned() {
        let others: Vec<Value> = types.iter().filter(|name| *name != "null").cloned().collect();
        if others.len() < types.len() {
            schema.insert("nullable".into(), true.into());
        }
        match others.as_slice() {
            [only] => _ = schema.insert("type".into(), only.clone()),
            several => {
                schema.remove("type");
                let items = schema.remove("items");
                let of = |name: &Value| match (name.as_str(), &items) {
                    (Some("array"), items) => json!({"type": "array", "items": items.clone().unwrap_or(json!({}))}),
                    _ => json!({"type": name}),
                };
                schema.insert("anyOf".into(), several.iter().map(of).collect());
            }
        }
    }
    for name in ["anyOf", "oneOf"] {
        let Some(Value::Array(schemas)) = schema.get_mut(name) else { continue };
        let before = schemas.len();
        schemas.retain(|schema| schema["type"] != "null");
        if schemas.len() == before {
            continue;
        }
        let only = (schemas.len() == 1).then(|| schemas.remove(0));
        schema.insert("nullable".into(), true.into());
        if let Some(only) = only {
            schema.remove(name);
            schema.insert("allOf".into(), json!([only]));
        }
    }
}

/// Beside a reference nothing counts in 3.0.
fn beside_reference(schema: &mut Map<String, Value>) {
    if schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".into(), json!([{"$ref": reference}]));
    }
}
