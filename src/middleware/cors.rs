//! Pages of other origins, where CORS_ORIGINS lists them.

use super::answer::vary;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN,
};

/// Origins whose pages may use the service, as `https://console.example.com`; `*` is any.
#[derive(Debug, Clone, Default)]
pub struct CorsOrigins(pub Vec<String>);

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
const ASKED_WITH: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-None-Match, X-Request-Id, traceparent, MCP-Protocol-Version, Mcp-Method, Mcp-Name",
);
const ANSWERED_WITH: HeaderValue = HeaderValue::from_static(
    "ETag, Link, X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate",
);
/// How long a browser may remember, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

impl CorsOrigins {
    fn allowed<'h>(&self, asked: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = asked.get(ORIGIN)?;
        let is_listed = self
            .0
            .iter()
            .any(|known| known == "*" || origin.to_str().is_ok_and(|origin| known.eq_ignore_ascii_case(origin)));
        is_listed.then_some(origin)
    }

    /// Whether a browser asks beforehand what a page of an origin may do, and it may.
    pub fn is_preflight(&self, method: &Method, asked: &HeaderMap) -> bool {
        method == Method::OPTIONS && asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) && self.allowed(asked).is_some()
    }

    /// Lets the page read the answer.
    pub fn allow(&self, method: &Method, asked: &HeaderMap, answer: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        vary(answer, "origin");
        let Some(origin) = self.allowed(asked) else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        match self.is_preflight(method, asked) {
            true => {
                answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, ASKED_WITH);
                answer.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
            }
            false => _ = answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWERED_WITH),
        }
    }
}
