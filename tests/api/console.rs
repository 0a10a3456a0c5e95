//! The console's files, as they are served; `tests/console` drives them in a browser.

use crate::conventions::get;
use crate::support::Service;
use serde_json::Value;

#[tokio::test]
async fn the_console_is_in_the_program_or_is_not_there() {
    let (service, _database) = Service::start().await;
    let page = get(&service, "/console/", &[]).await;
    let policy = page.header("content-security-policy");
    for rule in
        ["default-src 'none'", "script-src 'self';", "require-trusted-types-for 'script'", "trusted-types 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    // Every address of a view is the page; its parts are what it names, and what these import.
    for path in ["/console", "/console/incidents", "/console/incidents/4711/", "/console/search?q=x", "/console/health"]
    {
        assert_eq!(get(&service, path, &[]).await.body, page.body, "{path}");
    }
    for path in [
        "/console/nothing",
        "/console/tsconfig.json",
        "/console/types.d.ts",
        "/console/main.js/x",
        "/console/a/b/c",
        "/console/health/x",
        "/console/%2e%2e/Cargo.toml",
    ] {
        assert_eq!(get(&service, path, &[]).await.status, 404, "{path}");
    }
    let mut parts = vec!["/console/".to_owned()];
    let mut bytes = 0;
    let mut at = 0;
    while let Some(path) = parts.get(at).cloned() {
        let part = get(&service, &path, &[]).await;
        assert_eq!(part.status, 200, "{path}");
        let text = String::from_utf8(part.body.to_vec()).expect("text");
        bytes += text.len();
        assert!(text.lines().count() < 400, "{path}");
        assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
        let known = get(&service, &path, &[("if-none-match", part.header("etag"))]).await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0), "{path}");
        for name in text.split('"').filter_map(|word| word.strip_prefix("./").or(word.strip_prefix("/console/"))) {
            let found = format!("/console/{name}");
            if name.contains('.') && !parts.contains(&found) {
                parts.push(found);
            }
        }
        at += 1;
    }
    assert!(parts.len() > 15 && bytes <= 100 * 1024, "{} files, {bytes} bytes", parts.len());

    let (without, _other) = Service::start_with(&[("CONSOLE", "false"), ("MCP", "false")]).await;
    for path in ["/console/", "/console/main.js", "/console/incidents"] {
        assert_eq!(get(&without, path, &[]).await.status, 404, "{path}");
    }
    let browser = get(&without, "/", &[("accept", "text/html")]).await;
    assert_eq!((browser.status.as_u16(), browser.header("location")), (302, "/docs"));
    let links: Value = serde_json::from_slice(&get(&without, "/", &[]).await.body).expect("JSON");
    assert!(links["links"].get("console").is_none() && links["links"].get("agents").is_none(), "{links}");
}
