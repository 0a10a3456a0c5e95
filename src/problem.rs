//! What a client reads when something is wrong: one shape (RFC 9457), and a closed set of errors. This is the one
//! place where an error becomes an HTTP status.

use crate::json_rpc::{self, INTERNAL_ERROR, INVALID_REQUEST, REFUSED, UNAVAILABLE};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::error::{ActorError, Exceeded};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;

/// The closed set of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    ValidationFailed,
    AuthenticationFailed,
    AuthorizationFailed,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PayloadTooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    RateLimitExceeded,
    HeadersTooLarge,
    InternalError,
    ServiceUnavailable,
}

impl ProblemKind {
    pub const ALL: [ProblemKind; 13] = [
        ProblemKind::ValidationFailed,
        ProblemKind::AuthenticationFailed,
        ProblemKind::AuthorizationFailed,
        ProblemKind::NotFound,
        ProblemKind::MethodNotAllowed,
        ProblemKind::RequestTimeout,
        ProblemKind::PayloadTooLarge,
        ProblemKind::UnsupportedMediaType,
        ProblemKind::IdempotencyKeyReused,
        ProblemKind::RateLimitExceeded,
        ProblemKind::HeadersTooLarge,
        ProblemKind::InternalError,
        ProblemKind::ServiceUnavailable,
    ];

    /// The word in `error`, the title, and the status.
    fn parts(self) -> (&'static str, &'static str, u16) {
        match self {
            ProblemKind::ValidationFailed => ("validation_failed", "Validation failed", 400),
            ProblemKind::AuthenticationFailed => ("authentication_failed", "Authentication failed", 401),
            ProblemKind::AuthorizationFailed => ("authorization_failed", "Authorization failed", 403),
            ProblemKind::NotFound => ("not_found", "Not found", 404),
            ProblemKind::MethodNotAllowed => ("method_not_allowed", "Method not allowed", 405),
            ProblemKind::RequestTimeout => ("request_timeout", "Request timeout", 408),
            ProblemKind::PayloadTooLarge => ("payload_too_large", "Payload too large", 413),
            ProblemKind::UnsupportedMediaType => ("unsupported_media_type", "Unsupported media type", 415),
            ProblemKind::IdempotencyKeyReused => ("idempotency_key_reused", "Idempotency key reused", 422),
            ProblemKind::RateLimitExceeded => ("rate_limit_exceeded", "Rate limit exceeded", 429),
            ProblemKind::HeadersTooLarge => ("headers_too_large", "Headers too large", 431),
            ProblemKind::InternalError => ("internal_error", "Internal error", 500),
            ProblemKind::ServiceUnavailable => ("service_unavailable", "Service unavailable", 503),
        }
    }

    pub fn word(self) -> &'static str {
        self.parts().0
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.parts().2).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The kind of an error whose status does not come from a handler.
    pub fn of_status(status: StatusCode) -> Self {
        let known = Self::ALL.into_iter().find(|kind| kind.status() == status);
        known.unwrap_or(if status.is_client_error() { Self::ValidationFailed } else { Self::InternalError })
    }
}

/// One error on its way to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    pub kind: ProblemKind,
    pub detail: String,
    pub field: Option<Cow<'static, str>>,
    /// Methods for the `Allow` header.
    allow: Option<&'static str>,
    /// Whether the codings that are read are named.
    names_codings: bool,
    /// The limit that was exceeded.
    exceeded: Option<Box<Exceeded>>,
    /// Whether the connection is closed after the answer, because the rest of the request is not worth reading.
    close: bool,
    /// What an actor replied, for the log alone.
    cause: Option<Box<ActorError>>,
}

/// The body of an error. `title`, `detail` … are from RFC 9457, `error`, `message` … from the source document.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    type_uri: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    error: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Problem {
            kind,
            detail: detail.into(),
            field: None,
            allow: None,
            names_codings: false,
            exceeded: None,
            close: false,
            cause: None,
        }
    }

    /// Of a path, or a thing that is not there.
    pub fn missing(what: impl fmt::Display) -> Self {
        Self::new(ProblemKind::NotFound, format!("There is no {what}"))
    }

    /// Names the codings in which a body may come.
    pub fn of_codings(self) -> Self {
        Problem { names_codings: true, ..self }
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let problem = Self::new(ProblemKind::MethodNotAllowed, format!("This path allows {allow}"));
        Problem { allow: Some(allow), ..problem }
    }

    pub fn unauthenticated(detail: &str) -> Self {
        Self::new(ProblemKind::AuthenticationFailed, detail)
    }

    /// Keeps the cause for the log.
    fn because(self, cause: ActorError) -> Self {
        Problem { cause: Some(Box::new(cause)), ..self }
    }

    /// Logs a problem of the service, once, with its cause.
    pub fn log(&self, request_id: &str) {
        let (error, detail) = (self.kind.word(), &self.detail);
        match self.cause.as_deref() {
            Some(ActorError::Database(cause) | ActorError::VectorStore(cause)) => {
                let (sqlstate, constraint) = (cause.sqlstate(), cause.constraint());
                let transaction = cause.transaction;
                if cause.fault.is_ours() {
                    tracing::error!(request_id, error, detail, transaction, sqlstate, constraint, %cause, "request failed");
                } else {
                    tracing::warn!(request_id, error, detail, transaction, sqlstate, constraint, %cause, "request failed");
                }
            }
            Some(cause) => tracing::warn!(request_id, error, detail, %cause, "request failed"),
            None => tracing::warn!(request_id, error, detail, "request failed"),
        }
    }

    /// Ends the connection after the answer.
    pub fn closing(self) -> Self {
        Problem { close: true, ..self }
    }

    /// The answer to a request that is refused before its JSON-RPC message is looked at: with the status and the headers that any request would
    /// get.
    pub fn as_json_rpc(&self, id: &Value, correlation_id: &str) -> HttpResponse {
        let code = match self.kind {
            ProblemKind::InternalError => INTERNAL_ERROR,
            ProblemKind::ServiceUnavailable => UNAVAILABLE,
            ProblemKind::ValidationFailed | ProblemKind::UnsupportedMediaType | ProblemKind::PayloadTooLarge => {
                INVALID_REQUEST
            }
            _ => REFUSED,
        };
        let data = json!({"error": self.kind.word(), "correlation_id": correlation_id});
        let error = json!({"code": code, "message": self.detail, "data": data});
        let mut response = HttpResponse::build(self.kind.status());
        for (name, value) in self.headers().into_iter().filter(|(name, _)| *name != CONTENT_TYPE) {
            response.insert_header((name, value));
        }
        response.json(json!({"jsonrpc": "2.0", "id": id, "error": error}))
    }

    /// The answer to the request with this path and id.
    pub fn render(&self, instance: &str, correlation_id: &str, trace_id: Option<&str>) -> HttpResponse {
        // A request that carries JSON-RPC is answered with JSON-RPC. One with another method than POST carries none.
        if instance == json_rpc::PATH && self.allow.is_none() {
            return self.as_json_rpc(&Value::Null, correlation_id);
        }
        let (error, title, status) = self.kind.parts();
        let body = Body {
            type_uri: format!("https://kubernaut.ai/problems/{}", error.replace('_', "-")),
            title,
            status,
            detail: &self.detail,
            instance,
            error,
            message: &self.detail,
            field: self.field.as_deref(),
            correlation_id,
            trace_id,
        };
        let mut response = HttpResponse::build(self.kind.status());
        for (name, value) in self.headers() {
            response.insert_header((name, value));
        }
        if self.close {
            response.force_close();
        }
        // The body has only strings and a number: serializing them cannot fail.
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }

    /// The headers of the answer.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        match self.kind {
            ProblemKind::AuthenticationFailed => headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            ProblemKind::ServiceUnavailable => headers.push((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        if let Some(exceeded) = &self.exceeded {
            let seconds = exceeded.wait.as_secs() + 1;
            headers.push((RETRY_AFTER, seconds.into()));
            headers.extend(rate_limit(exceeded.per_second, 0, seconds));
        }
        if self.names_codings {
            headers.push((ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")));
        }
        if let Some(allow) = self.allow {
            headers.push((ALLOW, HeaderValue::from_static(allow)));
        }
        if self.close {
            headers.push((CONNECTION, HeaderValue::from_static("close")));
        }
        headers
    }
}

/// The fields of draft-ietf-httpapi-ratelimit-headers: what the limit is, what is left of it, and for how many seconds.
pub fn rate_limit(per_second: u32, remaining: u32, seconds: u64) -> [(HeaderName, HeaderValue); 2] {
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("")); // digits and quotes
    [
        (HeaderName::from_static("ratelimit-policy"), value(format!("\"default\";q={per_second};w=1"))),
        (HeaderName::from_static("ratelimit"), value(format!("\"default\";r={remaining};t={seconds}"))),
    ]
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let problem = Self::new(ProblemKind::ValidationFailed, invalid.detail);
        Problem { field: invalid.field, ..problem }
    }
}

impl From<ActorError> for Problem {
    fn from(error: ActorError) -> Self {
        match error {
            ActorError::Invalid(invalid) => invalid.into(),
            ActorError::Unauthenticated => Self::unauthenticated("Token validation failed"),
            ActorError::Forbidden => {
                Self::new(ProblemKind::AuthorizationFailed, "Service account not authorized for this operation")
            }
            ActorError::Exceeded(exceeded) => {
                let problem = Self::new(ProblemKind::RateLimitExceeded, exceeded.to_string());
                Problem { exceeded: Some(Box::new(exceeded)), ..problem }
            }
            ActorError::KeyReused => Self::new(
                ProblemKind::IdempotencyKeyReused,
                "This Idempotency-Key was used before with another content",
            ),
            ActorError::NotFound => Self::new(ProblemKind::NotFound, "There is no such thing"),
            ActorError::Unavailable(words) => Self::new(ProblemKind::ServiceUnavailable, words),
            ActorError::Gone => Self::new(ProblemKind::RequestTimeout, "The client has gone"),
            error if error.is_ours() => {
                Self::new(ProblemKind::InternalError, "The service made a mistake; it is logged").because(error)
            }
            ActorError::Database(ref fault) => {
                Self::new(ProblemKind::ServiceUnavailable, fault.fault.words()).because(error)
            }
            ActorError::VectorStore(ref fault) => {
                let words = match fault.fault {
                    fault if fault.is_silent() => "the vector store does not answer",
                    fault => fault.words(),
                };
                Self::new(ProblemKind::ServiceUnavailable, words).because(error)
            }
            ActorError::Embedder(ref fault) => Self::new(ProblemKind::ServiceUnavailable, fault.words()).because(error),
            ActorError::NoVerdict(ref why) => Self::new(ProblemKind::ServiceUnavailable, why.words()).because(error),
            ActorError::Internal => Self::new(ProblemKind::InternalError, "The service made a mistake; it is logged"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    /// A preliminary answer. The request middleware knows path and id, and renders the full answer.
    fn error_response(&self) -> HttpResponse {
        self.render("", "", None)
    }
}
