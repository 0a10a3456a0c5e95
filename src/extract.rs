//! What handlers take from a request, in the order in which the contract checks it: the identity, the media type, the
//! body.

use crate::middleware::request::{Caller, RequestId};
use crate::middleware::{Coding, Unreadable, coding_of, decompressed};
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::BytesMut;
use data_storage_actors::auth::{Token, peer_key};
use data_storage_actors::domain::audit::{IdempotencyKey, Receipt};
use data_storage_actors::domain::identity::{Access, Identity};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::error::ActorError;
use data_storage_actors::waiting::left;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, Ipv4Addr};
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::timeout;

/// The identity behind the request's token. Checks that the identity has this right and is within its rate limit.
pub async fn authorize(state: &AppState, request: &HttpRequest, access: Access) -> Result<Identity, Problem> {
    let token = bearer_token(request)?;
    let identity = state.actors.auth.identify(token, peer(request)).await?;
    request.extensions_mut().insert(Caller(identity.user.clone()));
    if let Some(allowance) = state.actors.auth.spend(&identity)? {
        request.extensions_mut().insert(allowance);
    }
    state.actors.auth.permit(&identity, access).await?;
    Ok(identity)
}

/// Checks that the client may read: by its token, or by the rate limit of its peer.
pub async fn admit_read(state: &AppState, request: &HttpRequest) -> Result<(), Problem> {
    if state.auth_reads {
        authorize(state, request, Access::Read).await?;
    } else if let Some(limit) = &state.open_reads {
        let allowance = limit.check(&peer_key(peer(request))).map_err(|exceeded| {
            state.metrics.rate_limited_total.with_label_values(&["read"]).inc();
            ActorError::Exceeded(exceeded)
        })?;
        request.extensions_mut().insert(allowance);
    }
    Ok(())
}

/// The identity behind the request's token, where it has a valid one.
pub async fn identity(state: &AppState, request: &HttpRequest) -> Option<Identity> {
    state.actors.auth.identify(bearer_token(request).ok()?, peer(request)).await.ok()
}

/// The address of the socket. The service ignores headers that name the peer, because anybody could have written them.
fn peer(request: &HttpRequest) -> IpAddr {
    request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
}

fn bearer_token(request: &HttpRequest) -> Result<Token, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(Problem::unauthenticated("One Authorization header with a Bearer token is needed"));
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { Token::parse(token.trim()) } else { None }
    });
    token.ok_or_else(|| Problem::unauthenticated("The Authorization header must be of the form: Bearer TOKEN"))
}

/// The body of a POST, and its share of the memory of all bodies. The body must be JSON by its media type, not longer
/// than allowed, also where it is compressed and what comes out counts, and sent in time.
pub async fn json_body<'a>(
    state: &'a AppState,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> Result<(BytesMut, SemaphorePermit<'a>), Problem> {
    let coding = check_media_type(request)?;
    let too_large = || {
        let detail = format!("The body may have {} bytes", state.max_body_bytes);
        Problem::new(ProblemKind::PayloadTooLarge, detail).closing()
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > state.max_body_bytes)) {
        return Err(too_large());
    }
    // What comes out of a compressed body is not known before.
    let announced = announced.filter(|_| coding.is_none()).and_then(|length| usize::try_from(length).ok());
    let length = announced.unwrap_or(state.max_body_bytes);
    let room = body_room(state, length).await?;
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            // The client stopped in the middle of the body, or its chunks are malformed.
            let chunk = chunk.map_err(|_| Problem::from(Invalid::body("the body is not complete")).closing())?;
            if body.len() + chunk.len() > state.max_body_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    match timeout(left(), read).await {
        Ok(body) => match coding {
            None => Ok((body?, room)),
            Some(coding) => match decompressed(coding, &body?, state.max_body_bytes) {
                Ok(body) => Ok((BytesMut::from(&body[..]), room)),
                Err(Unreadable::TooLarge) => Err(too_large()),
                Err(_) => Err(Invalid::body(format!("the body is not valid {}", coding.name())).into()),
            },
        },
        Err(_) => Err(Problem::new(ProblemKind::RequestTimeout, "The body took too long to arrive").closing()),
    }
}

/// A turn to put a large answer together. The answer keeps its turn, so the turn ends with the answer.
pub async fn assembly(state: &AppState) -> Result<OwnedSemaphorePermit, Problem> {
    match timeout(state.permit_wait.min(left()), state.assembly.clone().acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Problem::new(ProblemKind::ServiceUnavailable, "the service is overloaded")),
    }
}

/// A share of the memory that all bodies together may take.
async fn body_room(state: &AppState, length: usize) -> Result<SemaphorePermit<'_>, Problem> {
    let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
    match timeout(state.permit_wait.min(left()), state.body_room.acquire_many(kib)).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(Problem::new(ProblemKind::ServiceUnavailable, "the service is overloaded").closing()),
    }
}

/// Accepts `application/json` and `application/…+json`, in UTF-8, as it is or in a coding that is read.
fn check_media_type(request: &HttpRequest) -> Result<Option<Coding>, Problem> {
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
    coding_of(request.headers()).map_err(|_| {
        Problem::new(ProblemKind::UnsupportedMediaType, "The Content-Encoding may be gzip, zstd or identity")
            .of_codings()
    })
}

/// The circumstances of a write: the writer, the key, the time.
pub fn receipt<'a>(state: &'a AppState, request: &HttpRequest, identity: &Identity) -> Result<Receipt<'a>, Invalid> {
    let mut keys = request.headers().get_all("idempotency-key");
    let key = match (keys.next(), keys.next()) {
        (None, _) => None,
        (Some(key), None) => Some(IdempotencyKey::parse(key.as_bytes())?),
        _ => return Err(Invalid::wrong("Idempotency-Key", "is there twice")),
    };
    let trace_id = request.extensions().get::<RequestId>().and_then(|id| id.1.as_deref().map(Into::into));
    Ok(Receipt { writer: identity.user.clone(), key, trace_id, now: (state.clock)(), window: &state.window })
}

/// The largest id of an incident. JSON readers that take numbers as floats read every integer up to it exactly.
pub const MAX_ID: i64 = (1 << 53) - 1;

/// A positive integer below 2^53 in the path.
pub fn path_id(request: &HttpRequest) -> Result<i64, Invalid> {
    id_of("id", request.match_info().get("id").unwrap_or_default())
}

/// An incident's id in a path or a query.
pub fn id_of(field: &'static str, text: &str) -> Result<i64, Invalid> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(id) if digits && (1..=MAX_ID).contains(&id) => Ok(id),
        _ => Err(Invalid::wrong(field, "must be a positive integer below 2^53")),
    }
}

/// A name in the path, without its escapes.
pub fn path_name(request: &HttpRequest) -> Result<String, Invalid> {
    // The router decodes only a part of the escapes, so the name is decoded from the path as it was sent.
    let segment = request.uri().path().split('/').nth(4).unwrap_or_default();
    let name = percent_decode_str(segment).decode_utf8().map_err(|_| Invalid::wrong("id", "is not valid UTF-8"))?;
    if name.contains('\0') {
        return Err(Invalid::wrong("id", "must not contain a NUL character"));
    }
    Ok(name.into_owned())
}
