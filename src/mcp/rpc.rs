//! JSON-RPC 2.0 as the Model Context Protocol uses it.

use crate::json_rpc::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, UNSUPPORTED_VERSION,
};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// Bytes of an id.
const LONGEST_ID: usize = 1_000;

/// One message of a client.
#[derive(Debug)]
pub struct Message {
    /// `None` for a notification, which gets no answer.
    pub id: Option<Value>,
    pub method: String,
    pub params: Map<String, Value>,
}

#[derive(Debug)]
pub struct Fault {
    pub code: i32,
    pub message: String,
    pub data: Option<Value>,
}

impl Fault {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Fault { code, message: message.into(), data: None }
    }

    /// In the newer era a fault has an HTTP status too; in the older ones the answer is a 200, but for messages that cannot be read.
    fn status(&self, is_modern: bool) -> StatusCode {
        match self.code {
            PARSE_ERROR | INVALID_REQUEST => StatusCode::BAD_REQUEST,
            HEADER_MISMATCH | UNSUPPORTED_VERSION => StatusCode::BAD_REQUEST,
            INVALID_PARAMS if is_modern => StatusCode::BAD_REQUEST,
            METHOD_NOT_FOUND if is_modern => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        }
    }

    pub fn answer(&self, id: &Value, is_modern: bool) -> HttpResponse {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "error": error});
        HttpResponse::build(self.status(is_modern)).json(body)
    }
}

/// Reads the one message of a body.
///
/// # Errors
/// The fault, and the id of the message as far as it can be told.
pub fn read(body: &[u8]) -> Result<Message, (Fault, Value)> {
    // A byte order mark is ignored, as before any body.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| (Fault::new(PARSE_ERROR, "the body is not valid JSON"), Value::Null))?;
    let Value::Object(mut body) = body else {
        return Err((Fault::new(INVALID_REQUEST, "the body must be one JSON-RPC message"), Value::Null));
    };
    let id = body.remove("id");
    // An id is given back as it came: no number that JSON readers round, and no text without end.
    let is_id = |id: &Value| match id {
        Value::String(text) => text.len() <= LONGEST_ID,
        Value::Number(number) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|id| id.abs() < 9e15)
        }
        _ => false,
    };
    let known = id.clone().filter(is_id).unwrap_or(Value::Null);
    let invalid = |message: &str| (Fault::new(INVALID_REQUEST, message), known.clone());
    if body.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("jsonrpc must be \"2.0\""));
    }
    if id.is_some() && known.is_null() {
        return Err(invalid("id must be a short string or a number"));
    }
    let Some(Value::String(method)) = body.remove("method") else {
        return Err(invalid("method must be a string"));
    };
    let params = match body.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err((Fault::new(INVALID_PARAMS, "params must be an object"), known)),
    };
    Ok(Message { id, method, params })
}
