//! What handlers take from a request, in the order in which the contract checks it: who it is from, what it is, what it
//! says.

use crate::middleware::request::Caller;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use actix_web::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::BytesMut;
use data_storage_actors::auth::{Authenticate, Authorize, Token};
use data_storage_actors::domain::audit::{IdempotencyKey, Receipt};
use data_storage_actors::domain::identity::{Access, Identity};
use data_storage_actors::domain::invalid::Invalid;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

/// The identity behind the request's token, which may do this.
pub async fn authorize(state: &AppState, request: &HttpRequest, access: Access) -> Result<Identity, Problem> {
    let token = bearer_token(request)?;
    let identity = state.actors.auth.call(Authenticate { token }).await?;
    request.extensions_mut().insert(Caller(identity.user.clone()));
    state.actors.auth.call(Authorize { identity: identity.clone(), access }).await?;
    Ok(identity)
}

fn bearer_token(request: &HttpRequest) -> Result<Token, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(Problem::unauthenticated("One Authorization header with a Bearer token is needed"));
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        let token = token.trim();
        let shaped = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        (scheme.eq_ignore_ascii_case("bearer") && shaped).then(|| Token::new(token.to_owned()))
    });
    token.ok_or_else(|| Problem::unauthenticated("The Authorization header must be of the form: Bearer TOKEN"))
}

/// The body of a POST: JSON by its media type, not longer than allowed, and sent in time.
pub async fn json_body(
    state: &AppState,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> Result<BytesMut, Problem> {
    check_media_type(request)?;
    let too_large = || {
        let detail = format!("The body may have {} bytes", state.max_body_bytes);
        Problem::new(ProblemKind::PayloadTooLarge, detail).closing()
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > state.max_body_bytes as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            // The client stopped in the middle, or its chunks are malformed.
            let chunk = chunk.map_err(|_| Problem::from(Invalid::body("the body is not complete")).closing())?;
            if body.len() + chunk.len() > state.max_body_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    match timeout(state.request_deadline, read).await {
        Ok(body) => body,
        Err(_) => Err(Problem::new(ProblemKind::RequestTimeout, "The body took too long to arrive").closing()),
    }
}

/// `application/json` and its relatives, in UTF-8, as it is.
fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    let unsupported = |detail: &str| Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = header.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !json {
        return unsupported("The Content-Type must be application/json");
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return unsupported("The charset must be utf-8");
        }
    }
    match request.headers().get(CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => unsupported("The body must not be encoded"),
        _ => Ok(()),
    }
}

/// The circumstances of a write.
pub fn receipt<'a>(state: &'a AppState, request: &HttpRequest, identity: &Identity) -> Result<Receipt<'a>, Invalid> {
    let mut keys = request.headers().get_all("idempotency-key");
    let key = match (keys.next(), keys.next()) {
        (None, _) => None,
        (Some(key), None) => Some(IdempotencyKey::parse(key.as_bytes())?),
        _ => return Err(Invalid::wrong("Idempotency-Key", "is there twice")),
    };
    Ok(Receipt { writer: identity.user.clone(), key, now: (state.clock)(), window: &state.window })
}

/// The parameters of a query, each of a known name, once, and not empty.
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    pub fn parse(request: &HttpRequest, known: &[&'static str]) -> Result<Self, Invalid> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in request.query_string().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name);
            let name = decoded.as_deref().unwrap_or(name);
            let Some(known) = known.iter().copied().find(|known| *known == name) else {
                return Err(Invalid::unnamed(name, "is not a parameter of this path"));
            };
            if found.iter().any(|(name, _)| *name == known) {
                return Err(Invalid::wrong(known, "is there twice"));
            }
            let value = decode(value).ok_or_else(|| Invalid::wrong(known, "is not valid UTF-8"))?;
            if value.is_empty() {
                return Err(Invalid::wrong(known, "must not be empty"));
            }
            found.push((known, value));
        }
        Ok(Query(found))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within bounds, or the default.
    pub fn number(&self, name: &'static str, least: i64, most: i64, default: i64) -> Result<i64, Invalid> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(number),
            _ => Err(Invalid::wrong(name, format_args!("must be a whole number from {least} to {most}"))),
        }
    }

    pub fn boolean(&self, name: &'static str, default: bool) -> Result<bool, Invalid> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Invalid::wrong(name, "must be true or false")),
        }
    }
}

/// Percent signs and plus signs, as in a form.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// The largest id of an incident: every number of JSON up to it is exact.
pub const MAX_ID: i64 = (1 << 53) - 1;

/// A positive integer below 2^53 in the path.
pub fn path_id(request: &HttpRequest) -> Result<i64, Invalid> {
    let text = request.match_info().get("id").unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(id) if digits && (1..=MAX_ID).contains(&id) => Ok(id),
        _ => Err(Invalid::wrong("id", "must be a positive integer below 2^53")),
    }
}

/// A name in the path: text as it was before it was escaped.
pub fn path_name(request: &HttpRequest) -> Result<String, Invalid> {
    // What the router has decoded in part is decoded from the path that came.
    let segment = request.uri().path().split('/').nth(4).unwrap_or_default();
    let name = percent_decode_str(segment).decode_utf8().map_err(|_| Invalid::wrong("id", "is not valid UTF-8"))?;
    if name.contains('\0') {
        return Err(Invalid::wrong("id", "must not contain a NUL character"));
    }
    Ok(name.into_owned())
}
