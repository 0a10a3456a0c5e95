//! The two eras of the protocol on one path: since 2026-07-28 each request says its version and its method in headers and in `_meta`;
//! before, a client began with `initialize`.

use super::rpc::{Fault, Message};
use crate::json_rpc::{HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION};
use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub const MODERN: &str = "2026-07-28";
/// The versions with `initialize`, the newest first.
pub const OLDER: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const VERSION_HEADER: &str = "mcp-protocol-version";
const METHOD_HEADER: &str = "mcp-method";
const NAME_HEADER: &str = "mcp-name";

/// Whether a message is of the newer era.
///
/// # Errors
/// What the message and its headers do not agree on, or a version that is not served.
pub fn is_modern(request: &HttpRequest, message: &Message) -> Result<bool, Fault> {
    for name in [VERSION_HEADER, METHOD_HEADER, NAME_HEADER] {
        if request.headers().get_all(name).count() > 1 {
            return Err(Fault::new(HEADER_MISMATCH, format!("the header {name} is there twice")));
        }
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let version = header(VERSION_HEADER);
    let meta = message.params.get("_meta").and_then(Value::as_object);
    let said = meta.and_then(|meta| meta.get(VERSION_KEY));
    let is_older = version.is_none_or(|version| OLDER.contains(&version));
    if is_older && said.is_none() && message.method != "server/discover" {
        return Ok(false);
    }
    // A notification has no answer: only the version in its header is looked at.
    if message.id.is_none() {
        return if version == Some(MODERN) { Ok(true) } else { Err(unsupported(version.unwrap_or_default())) };
    }
    // Of a version that is not known nothing else is asked.
    if let Some(version) = version.filter(|version| *version != MODERN && !OLDER.contains(version))
        && said.is_none_or(|said| said == version)
    {
        return Err(unsupported(version));
    }
    let missing: Vec<&str> = [VERSION_KEY, CAPABILITIES_KEY]
        .into_iter()
        .filter(|key| meta.is_none_or(|meta| !meta.contains_key(*key)))
        .collect();
    if !missing.is_empty() {
        return Err(Fault::new(INVALID_PARAMS, format!("params._meta needs {}", missing.join(" and "))));
    }
    let said = said.cloned().unwrap_or_default();
    let Some(said) = said.as_str() else {
        return Err(Fault::new(INVALID_PARAMS, format!("{VERSION_KEY} must be a string")));
    };
    if version != Some(said) {
        return Err(Fault::new(HEADER_MISMATCH, "the header MCP-Protocol-Version is not the version of the request"));
    }
    if header(METHOD_HEADER) != Some(&message.method) {
        return Err(Fault::new(HEADER_MISMATCH, "the header Mcp-Method is not the method of the request"));
    }
    let named = match message.method.as_str() {
        "tools/call" | "prompts/get" => message.params.get("name"),
        "resources/read" => message.params.get("uri"),
        _ => None,
    };
    if let Some(Value::String(name)) = named
        && header(NAME_HEADER).and_then(decoded).as_deref() != Some(name)
    {
        return Err(Fault::new(HEADER_MISMATCH, "the header Mcp-Name is not the name in the request"));
    }
    if said == MODERN { Ok(true) } else { Err(unsupported(said)) }
}

fn unsupported(requested: &str) -> Fault {
    let supported: Vec<&str> = [MODERN].into_iter().chain(OLDER).collect();
    let data = json!({"supported": supported, "requested": requested});
    Fault { data: Some(data), ..Fault::new(UNSUPPORTED_VERSION, "this version of the protocol is not served") }
}

/// A value as it is, or in base64 between `=?base64?` and `?=`.
fn decoded(header: &str) -> Option<String> {
    match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(header.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}
