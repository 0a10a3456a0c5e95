//! `GET /docs`: the reference of the API, for people. All that it needs is in the program.

use super::asset::{HTML, SCRIPT, STYLE, asset};
use actix_web::{HttpResponse, Resource, web};
use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::LazyLock;

/// Scripts and styles of this service alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static BUNDLE: LazyLock<Vec<u8>> =
    LazyLock::new(|| unpacked(include_bytes!("docs/swagger-ui/swagger-ui-bundle.js.gz")));
static LOOKS: LazyLock<Vec<u8>> = LazyLock::new(|| unpacked(include_bytes!("docs/swagger-ui/swagger-ui.css.gz")));

/// Its paths.
pub fn services() -> [Resource; 4] {
    [
        super::get("/docs", web::to(async || answer(HTML, include_bytes!("docs/page.html")))),
        super::get("/docs/start.js", web::to(async || answer(SCRIPT, include_bytes!("docs/start.js")))),
        super::get("/docs/swagger-ui-bundle.js", web::to(async || answer(SCRIPT, &BUNDLE))),
        super::get("/docs/swagger-ui.css", web::to(async || answer(STYLE, &LOOKS))),
    ]
}

fn answer(kind: &'static str, body: &'static [u8]) -> HttpResponse {
    asset(kind, POLICY, body)
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    // What the program brings itself is whole; a test reads it.
    let _ = GzDecoder::new(packed).read_to_end(&mut unpacked);
    unpacked
}
