//! `GET /openapi.json`, `GET /openapi-3.0.json`

use super::revisable;
use crate::openapi::{DOCUMENT, in_3_0};
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;

pub async fn newer() -> HttpResponse {
    answer(DOCUMENT)
}

pub async fn older() -> HttpResponse {
    answer(in_3_0())
}

fn answer(document: &'static str) -> HttpResponse {
    revisable(HttpResponse::Ok().content_type(ContentType::json()).body(document))
}
