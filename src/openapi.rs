//! The OpenAPI document: one, of version 3.1, and the same in the words of version 3.0 for generators that need them.

use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The document of version 3.1.
pub const DOCUMENT: &str = include_str!("../docs/openapi.json");

/// The document in the words of version 3.0.
pub fn in_3_0() -> &'static str {
    static OLDER: LazyLock<String> = LazyLock::new(|| {
        let newer: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
        let mut document = newer.clone();
        older(&mut document, &newer);
        document["openapi"] = "3.0.3".into();
        // A license has no identifier there.
        if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
            license.remove("identifier");
            license.insert("url".into(), "https://www.apache.org/licenses/LICENSE-2.0".into());
        }
        format!("{document:#}\n")
    });
    &OLDER
}

/// Says what a schema says, and each one in it, without what 3.0 does not know. References are into the whole document.
fn older(value: &mut Value, whole: &Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| older(value, whole)),
        Value::Object(members) => {
            members.values_mut().for_each(|value| older(value, whole));
            if is_schema(members) {
                take_null(members, whole);
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

/// `null` is no type in 3.0: what may be null is `nullable` and has a type beside that, and what may be of several types is one of several
/// schemas.
fn take_null(schema: &mut Map<String, Value>, whole: &Value) {
    if let Some(Value::Array(types)) = schema.get("type").cloned() {
        let others: Vec<Value> = types.iter().filter(|name| *name != "null").cloned().collect();
        let may_be_null = others.len() < types.len();
        match others.as_slice() {
            [only] => {
                schema.insert("type".into(), only.clone());
                if may_be_null {
                    schema.insert("nullable".into(), true.into());
                }
            }
            several => {
                schema.remove("type");
                let items = schema.remove("items");
                let of = |name: &Value| match (name.as_str(), &items) {
                    (Some("array"), items) => json!({"type": "array", "items": items.clone().unwrap_or(json!({}))}),
                    _ => json!({"type": name}),
                };
                let schemas = several.iter().map(of).map(|of| if may_be_null { nullable(of, whole) } else { of });
                schema.insert("anyOf".into(), schemas.collect());
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
        for of in schemas.iter_mut() {
            *of = nullable(of.take(), whole);
        }
        if let [only] = schemas.as_mut_slice() {
            let only = only.take();
            schema.remove(name);
            schema.extend(only.as_object().cloned().unwrap_or_default());
        }
    }
}

/// A schema that null fits too.
fn nullable(mut schema: Value, whole: &Value) -> Value {
    let Some(reference) = schema["$ref"].as_str().map(str::to_owned) else {
        schema["nullable"] = true.into();
        return schema;
    };
    let target = whole.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
    json!({"type": target["type"], "nullable": true, "allOf": [{"$ref": reference}]})
}

/// Beside a reference nothing counts in 3.0.
fn beside_reference(schema: &mut Map<String, Value>) {
    if schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".into(), json!([{"$ref": reference}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| each(value, look)),
            Value::Object(members) => {
                look(members);
                members.values().for_each(|value| each(value, look));
            }
            _ => {}
        }
    }

    /// In 3.0 null fits a schema only if that has a type beside `nullable`.
    #[test]
    fn what_may_be_null_has_a_type() {
        let older: Value = serde_json::from_str(in_3_0()).expect("JSON");
        let mut nullable = 0;
        each(&older, &mut |schema| {
            if schema.contains_key("nullable") {
                nullable += 1;
                assert!(schema["type"].is_string(), "{schema:?}");
            }
            assert!(!schema.get("type").is_some_and(Value::is_array), "{schema:?}");
        });
        assert!(nullable > 20, "{nullable}");
    }
}
