//! A file that is a part of the program: of the reference, of the console.

use super::revisable;
use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};

pub const HTML: &str = "text/html; charset=utf-8";
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
pub const STYLE: &str = "text/css; charset=utf-8";
pub const ICON: &str = "image/svg+xml";

/// Answers with a file and its content security policy.
pub fn asset(kind: &'static str, policy: &'static str, content: &'static [u8]) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, HeaderValue::from_static(kind)));
    answer.insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)));
    answer.insert_header((REFERRER_POLICY, HeaderValue::from_static("no-referrer")));
    answer.insert_header((
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ));
    revisable(answer.body(content))
}
