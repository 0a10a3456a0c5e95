//! `GET /console/`: the service in pictures, for people. All that it needs is in the program, and it asks the public API alone.

use super::asset::{HTML, ICON, SCRIPT, STYLE, asset};
use super::nothing;
use crate::problem::Problem;
use crate::state::AppState;
use actix_web::{HttpRequest, HttpResponse, Resource, web};

/// Scripts and styles of this service alone, and no call that makes markup or a script of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const PAGE: &[u8] = include_bytes!("../../console/index.html");

/// Addresses of the page: its script shows the view that the address names.
const VIEWS: [&str; 5] = ["incidents", "search", "success", "health", "compare"];

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        [$(($name, SCRIPT, include_bytes!(concat!("../../console/", $name)).as_slice())),*]
    };
}

/// Name, kind and content.
type File = (&'static str, &'static str, &'static [u8]);
const SCRIPTS: [File; 14] = scripts![
    "main.js",
    "router.js",
    "dom.js",
    "api.js",
    "time.js",
    "preferences.js",
    "parts.js",
    "plots.js",
    "filters.js",
    "incidents.js",
    "incident.js",
    "search.js",
    "success.js",
    "health.js",
];
const LOOKS: [File; 2] = [
    ("style.css", STYLE, include_bytes!("../../console/style.css")),
    ("icon.svg", ICON, include_bytes!("../../console/icon.svg")),
];

/// Its paths.
pub fn services() -> [Resource; 3] {
    ["/console", "/console/{name}", "/console/{name}/{of}"].map(|path| super::get(path, web::to(handle)))
}

async fn handle(request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    if !state.console {
        return nothing(request).await;
    }
    let [name, of] = ["name", "of"].map(|part| request.match_info().get(part).unwrap_or_default());
    let mut files = SCRIPTS.iter().chain(&LOOKS);
    match files.find(|(file, ..)| *file == name) {
        Some((_, kind, content)) if of.is_empty() => Ok(asset(kind, POLICY, content)),
        _ if name.is_empty() || VIEWS.contains(&name) && (of.is_empty() || name == "incidents") => {
            Ok(asset(HTML, POLICY, PAGE))
        }
        _ => nothing(request).await,
    }
}
