//! What HTTP's tools expect of every answer: an `ETag` where a client may ask again, compression as the client wants it, and no guesses
//! about what a body is.

use super::coding::{accepted, compress};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EntityTag, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    IfNoneMatch, LINK, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode, header::Header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// In the extensions of an answer: it may be asked for again by its `ETag`.
pub struct Revisable;

/// In the extensions of an answer: the cursor of the page behind it.
pub struct NextPage(pub String);

/// A shorter body is not compressed.
const LEAST: usize = 1024;

/// Gives an answer its headers, and the form of its body that the client wants.
pub async fn finished(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let (request, mut response) = answer.into_parts();
    let is_revisable = response.extensions_mut().remove::<Revisable>().is_some();
    let next = response.extensions_mut().remove::<NextPage>();
    if let Some(link) = next.and_then(|next| link(&request, &next.0)) {
        response.headers_mut().insert(LINK, link);
    }
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => body,
        Err(body) => return ServiceResponse::new(request, response.set_body(body)),
    };
    let mut response = response.set_body(());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && response.status() == StatusCode::OK;
    if is_read && is_revisable {
        let tag = entity_tag(&body);
        if let Ok(value) = HeaderValue::from_str(&tag.to_string()) {
            response.headers_mut().insert(ETAG, value);
        }
        set_default(response.headers_mut(), CACHE_CONTROL, "private, no-cache");
        if is_known(&request, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(CONTENT_TYPE);
            vary(response.headers_mut(), "accept-encoding");
            return ServiceResponse::new(request, response.set_body(BoxBody::new(())));
        }
    } else {
        set_default(response.headers_mut(), CACHE_CONTROL, "no-store");
    }
    let body = in_coding(&request, &mut response, body).await;
    ServiceResponse::new(request, response.set_body(BoxBody::new(body)))
}

/// The body as the client wants it.
async fn in_coding(request: &HttpRequest, response: &mut HttpResponse<()>, body: Bytes) -> Bytes {
    if body.len() < LEAST || response.headers().contains_key(CONTENT_ENCODING) {
        return body;
    }
    vary(response.headers_mut(), "accept-encoding");
    let Some(coding) = accepted(request.headers()) else { return body };
    match compress(coding, body.clone()).await {
        Some(compressed) => {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            compressed
        }
        None => body,
    }
}

/// Weak: the same answer in another coding has the same.
fn entity_tag(body: &[u8]) -> EntityTag {
    let digest = Sha256::digest(body);
    let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    EntityTag::new_weak(tag)
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    request.headers().contains_key(IF_NONE_MATCH)
        && match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
            Err(_) => false,
        }
}

/// `Link: <…>; rel="next"`: the same question, behind this page.
fn link(request: &HttpRequest, cursor: &str) -> Option<HeaderValue> {
    let is_kept = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        !part.is_empty() && !matches!(name, "cursor" | "offset")
    };
    let kept = request.query_string().split('&').filter(is_kept);
    let query: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    // A path and a query as they were sent have only letters that a header may have.
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", request.uri().path(), query.join("&"))).ok()
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Says that the answer would be another one if this header of the request were.
pub fn vary(headers: &mut HeaderMap, name: &'static str) {
    headers.append(VARY, HeaderValue::from_static(name));
}
