//! What HTTP's tools expect: codings, `ETag`, `Link`, CORS, slashes, pages for browsers.

use crate::support::certificates::Authority;
use crate::support::{Service, Writer, gateway_audit};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::Read;

/// An answer as it came, its coding included.
pub struct Raw {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Raw {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The body without its coding.
    fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            "gzip" => _ = GzDecoder::new(&self.body[..]).read_to_end(&mut plain).expect("gzip"),
            "zstd" => plain = zstd::decode_all(&self.body[..]).expect("zstd"),
            "br" => _ = brotli::Decompressor::new(&self.body[..], 4096).read_to_end(&mut plain).expect("brotli"),
            _ => plain = self.body.to_vec(),
        }
        plain
    }
}

async fn ask(service: &Service, method: Method, url: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Raw {
    let url = if url.starts_with('/') { service.url(url) } else { url.to_owned() };
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let mut request = client.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    Raw { status, headers, body: answer.bytes().await.expect("a body") }
}

pub async fn get(service: &Service, url: &str, headers: &[(&str, &str)]) -> Raw {
    ask(service, Method::GET, url, headers, None).await
}

#[tokio::test]
async fn answers_come_in_the_coding_that_is_asked_for() {
    let (service, _database) = Service::start().await;
    for n in 0..8 {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
    }
    let metrics = format!("http://{}/metrics", service.metrics_address);
    for url in ["/api/v1/incidents", "/openapi.json", "/docs/swagger-ui-bundle.js", &metrics] {
        let whole = get(&service, url, &[]).await;
        assert_eq!((whole.status.as_u16(), whole.header("content-encoding")), (200, ""), "{url}");
        assert!(whole.header("vary").contains("accept-encoding"), "{url}");
        for (asked, given) in [
            ("gzip", "gzip"),
            ("zstd", "zstd"),
            ("br", "br"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip;q=0, *;q=0", ""),
        ] {
            let answer = get(&service, url, &[("accept-encoding", asked)]).await;
            assert_eq!(answer.header("content-encoding"), given, "{url} {asked}");
            assert_eq!(answer.header("content-type"), whole.header("content-type"));
            if url != metrics {
                assert_eq!(answer.plain(), whole.body, "{url} {asked}");
                assert_eq!(answer.header("etag"), whole.header("etag"));
            }
            assert!(given.is_empty() || answer.body.len() < whole.body.len() / 2, "{url} {asked}");
            let head = ask(&service, Method::HEAD, url, &[("accept-encoding", asked)], None).await;
            assert_eq!((head.status.as_u16(), head.header("content-encoding"), head.body.len()), (200, given, 0));
        }
    }
    let short = get(&service, "/health/live", &[("accept-encoding", "gzip")]).await;
    assert_eq!(short.header("content-encoding"), "", "too short to be worth it");
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    GzEncoder::new(body, Compression::best()).read_to_end(&mut made).expect("memory");
    made
}

#[tokio::test]
async fn bodies_come_compressed_and_what_comes_out_is_bounded() {
    let (service, _database) = Service::start_with(&[("MAX_BODY_BYTES", "64KiB")]).await;
    let token = format!("Bearer {}", Writer::Gateway.token());
    let post = async |coding: &str, body: Vec<u8>| {
        let headers =
            [("authorization", token.as_str()), ("content-type", "application/json"), ("content-encoding", coding)];
        ask(&service, Method::POST, "/api/v1/audit/remediation", &headers, Some(body)).await
    };
    let body = gateway_audit("rr").to_string().into_bytes();
    let first: Value = serde_json::from_slice(&post("gzip", gzipped(&body)).await.body).expect("JSON");
    for (coding, made) in [
        ("zstd", zstd::encode_all(&body[..], 3).expect("memory")),
        ("X-GZIP", gzipped(&body)),
        ("identity", body.clone()),
    ] {
        let answer = post(coding, made).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (201, "true"), "{coding}");
        assert_eq!(
            serde_json::from_slice::<Value>(&answer.body).expect("JSON"),
            first,
            "the content is what comes out"
        );
    }
    // Bombs: little goes in, much comes out.
    let much = format!("{{\"reasoning\":\"{}\"}}", "a".repeat(50 << 20)).into_bytes();
    for (coding, bomb) in [("gzip", gzipped(&much)), ("zstd", zstd::encode_all(&much[..], 19).expect("memory"))] {
        assert!(bomb.len() < 64 * 1024, "{coding}: {}", bomb.len());
        assert_eq!(post(coding, bomb).await.status, 413, "{coding}");
    }
    for (coding, broken) in
        [("gzip", body.clone()), ("zstd", body.clone()), ("gzip", gzipped(&body)[..30].to_vec()), ("gzip", Vec::new())]
    {
        let answer = post(coding, broken).await;
        assert_eq!(answer.status, 400, "{coding}: {:?}", answer.body);
        assert!(String::from_utf8_lossy(&answer.body).contains(coding));
    }
    for coding in ["br", "gzip, gzip", "deflate", "wrong"] {
        let answer = post(coding, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("accept-encoding")), (415, "gzip, zstd"), "{coding}");
    }
}

#[tokio::test]
async fn what_is_known_already_is_not_sent_again() {
    let (service, _database) = Service::start().await;
    for n in 0..3 {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
    }
    let audit = service.post(Writer::Gateway, &gateway_audit("rr-x")).await.audit_id();
    let id = service.incident_of("rr-x").await["id"].clone();
    let heads = [
        format!("/api/v1/incidents/{id}"),
        format!("/api/v1/incidents/{id}/timeline"),
        format!("/api/v1/audits/{audit}"),
        "/api/v1/incidents?limit=2&namespace=production".to_owned(),
        "/api/v1/audits".to_owned(),
        "/api/v1/workflows".to_owned(),
        "/api/v1/stats/counts".to_owned(),
        "/api/v1/stats/success-rate".to_owned(),
        "/api/v1/incidents/facets".to_owned(),
        "/openapi-3.0.json".to_owned(),
    ];
    let mut tags = Vec::new();
    for url in &heads {
        let first = get(&service, url, &[]).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{url}: {tag}");
        assert_eq!(first.header("cache-control"), "private, no-cache", "{url}");
        for (known, status) in
            [(tag.as_str(), 304), ("*", 304), (&format!("\"a\", {tag}"), 304), ("\"a\"", 200), ("nonsense", 200)]
        {
            let again = get(&service, url, &[("if-none-match", known), ("accept-encoding", "gzip")]).await;
            assert_eq!(again.status.as_u16(), status, "{url} {known}");
            assert_eq!(again.header("etag"), tag);
            assert!(
                status == 200 || again.body.is_empty() && again.header("content-length").is_empty(),
                "{url}: {:?}",
                again.headers
            );
        }
        let head = ask(&service, Method::HEAD, url, &[("if-none-match", &tag)], None).await;
        assert_eq!(head.status, 304);
        tags.push(tag);
    }
    let report = json!({"remediationRequestID": "rr-x", "status": "failed", "executedAt": crate::support::now(), "errorMessage": "no"});
    service.post(Writer::Executor, &report).await.audit_id();
    for (url, tag) in heads
        .iter()
        .zip(&tags)
        .filter(|(url, _)| !url.contains("workflows") && !url.contains("/audits/") && !url.contains("openapi"))
    {
        let again = get(&service, url, &[("if-none-match", tag)]).await;
        assert_eq!(again.status, 200, "{url}: something has changed");
    }
    // The page behind the head, and what is posted, is not kept.
    let head = get(&service, "/api/v1/incidents?offset=0&limit=2&namespace=production", &[]).await;
    let link = head.header("link").to_owned();
    let next = link.strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\"")).expect("a link").0;
    let cursor = serde_json::from_slice::<Value>(&head.body).expect("JSON")["pagination"]["next_cursor"].clone();
    assert_eq!(
        next,
        format!("/api/v1/incidents?limit=2&namespace=production&cursor={}", cursor.as_str().expect("text"))
    );
    let behind = get(&service, next, &[]).await;
    assert_eq!(
        (behind.status.as_u16(), behind.header("etag"), behind.header("cache-control"), behind.header("link")),
        (200, "", "no-store", "")
    );
    assert_eq!(serde_json::from_slice::<Value>(&behind.body).expect("JSON")["data"].as_array().map(Vec::len), Some(2));
    for (method, url) in [
        (Method::GET, "/health"),
        (Method::GET, "/api/v1/incidents/7"),
        (Method::GET, "/nothing"),
        (Method::POST, "/mcp"),
        (Method::PUT, "/health"),
    ] {
        let answer = ask(&service, method, url, &[], None).await;
        assert_eq!(
            (answer.header("cache-control"), answer.header("x-content-type-options")),
            ("no-store", "nosniff"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn paths_as_people_write_them() {
    let (service, _database) = Service::start().await;
    let id = {
        service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
        service.incident_of("rr").await["id"].clone()
    };
    for url in [
        "/api/v1/incidents/?limit=1".to_owned(),
        format!("/api/v1/incidents/{id}/"),
        "/health/".to_owned(),
        "/docs/".to_owned(),
    ] {
        assert_eq!(get(&service, &url, &[]).await.status, 200, "{url}");
    }
    let posted =
        service.post_raw(Writer::Gateway, "/api/v1/audit/remediation/", &gateway_audit("rr-2").to_string(), &[]).await;
    assert_eq!(posted.status, 201);
    let metrics = format!("http://{}/metrics/", service.metrics_address);
    let head = ask(&service, Method::HEAD, &metrics, &[], None).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(ask(&service, Method::DELETE, &metrics, &[], None).await.status, 405);
    for (url, words) in [
        ("/api/v1/incidents/4711", "There is no incident 4711"),
        ("/api/v1/incidents/4711/timeline", "There is no incident 4711"),
        ("/api/v1/incidents/4711/similar", "There is no incident 4711"),
        ("/api/v1/audits/audit-1", "There is no audit audit-1"),
        ("/api/v2/incidents", "There is no path /api/v2/incidents"),
        ("/api//v1", "There is no path"),
    ] {
        let answer = get(&service, url, &[]).await;
        let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, 404, "{url}");
        assert!(problem["detail"].as_str().expect("words").contains(words), "{problem}");
    }
    let browser = get(&service, "/", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]).await;
    assert_eq!((browser.status.as_u16(), browser.header("location")), (302, "/console/"));
    assert!(browser.header("vary").contains("accept"), "another client gets another answer");
    let other: Value = serde_json::from_slice(&get(&service, "/", &[("accept", "*/*")]).await.body).expect("JSON");
    for (name, link) in other["links"].as_object().expect("links") {
        let status = get(&service, link.as_str().expect("a path"), &[]).await.status;
        assert!(status == 200 || status == 405 && matches!(name.as_str(), "search" | "agents"), "{name} {status}");
    }
    // The reference needs nothing from elsewhere.
    let page = get(&service, "/docs", &[]).await;
    assert!(
        page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'; style-src 'self';")
    );
    let text = String::from_utf8(page.body.to_vec()).expect("text");
    assert!(!text.contains("://"), "{text}");
    for part in text.split(['"']).filter(|part| part.starts_with('/')) {
        let part = get(&service, part, &[]).await;
        assert!(
            part.status == 200
                && part.body.len() > 100
                && part.header("content-type").contains(';') | part.header("content-type").contains("json")
        );
    }
}

#[tokio::test]
async fn pages_of_other_origins_only_where_they_are_listed() {
    let (service, _database) =
        Service::start_with(&[("CORS_ORIGINS", "https://console.example, http://localhost:3000")]).await;
    let (plain, _other) = Service::start().await;
    let preflight = async |service: &Service, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        ask(service, Method::OPTIONS, "/api/v1/audit/remediation", &headers, None).await
    };
    for origin in ["https://console.example", "http://localhost:3000"] {
        let answer = preflight(&service, origin).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (204, origin));
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        assert!(answer.header("access-control-allow-headers").contains("Authorization"));
        for url in ["/api/v1/incidents", "/api/v1/incidents/0", "/nothing"] {
            let answer = get(&service, url, &[("origin", origin)]).await;
            assert_eq!(answer.header("access-control-allow-origin"), origin, "errors too: {url}");
            assert!(answer.header("access-control-expose-headers").contains("ETag"));
        }
    }
    for (service, origin) in
        [(&service, "https://evil.example"), (&service, "null"), (&plain, "https://console.example")]
    {
        let answer = preflight(service, origin).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (405, ""), "{origin}");
        let answer = get(service, "/api/v1/incidents", &[("origin", origin)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""), "{origin}");
    }
}

/// curl asks by HTTP/2 where TLS offers it, and by HTTP/1.1 where it wants that.
#[tokio::test]
async fn http_2_over_tls() {
    let authority = Authority::new("one");
    let signed = authority.sign("127.0.0.1");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let (cert, key) = (path(&signed.cert), path(&signed.key));
    let (service, _database) = Service::start_with(&[("TLS_CERT_FILE", &cert), ("TLS_KEY_FILE", &key)]).await;
    let trusted = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(trusted.path(), authority.pem()).expect("written");
    let body = gateway_audit("rr").to_string();
    for (version, given) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let run = tokio::process::Command::new("curl")
            .args([
                "-sS",
                version,
                "--compressed",
                "-w",
                "%{http_version} %{http_code}",
                "-o",
                "/dev/null",
                "--cacert",
                &path(trusted.path()),
            ])
            .args([
                "-H",
                &format!("Authorization: Bearer {}", Writer::Gateway.token()),
                "-H",
                "Content-Type: application/json",
            ])
            .args(["-d", &body, &format!("https://{}/api/v1/audit/remediation", service.address)])
            .output();
        let output = run.await.expect("curl");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{given} 201"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
