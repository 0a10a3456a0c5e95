//! A large store: page after page takes no more memory; the time of the first page is printed.

use crate::browser::Browser;
use crate::support::{Service, program};
use serde_json::json;

/// Incidents that are posted by SQL, as `benches/fill.sql` does: 20,000, or what ROWS says.
async fn filled() -> (Service, crate::support::Database, u64) {
    let rows: u64 = std::env::var("ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000);
    let (mut service, database) = Service::start().await;
    service.stop().await;
    let newest = chrono::Utc::now().timestamp();
    for months in 0..13 {
        let month = crate::support::month_ago(months);
        let name = format!("resource_action_traces_y{}m{}", &month[..4], &month[5..]);
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {name} PARTITION OF resource_action_traces \
             FOR VALUES FROM ('{month}-01 00:00:00+00') TO (timestamptz '{month}-01 00:00:00+00' + interval '1 month')"
        );
        database.client.batch_execute(&sql).await.expect("a partition");
    }
    let fill = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fill.sql")).expect("a file");
    let values = [(":rows", rows.to_string()), (":combinations", 5000.to_string()), (":newest", newest.to_string())];
    let fill = values.iter().fold(fill, |sql, (name, value)| sql.replace(name, value));
    for statement in fill.split(';').filter(|statement| !statement.trim().is_empty()) {
        database.client.batch_execute(statement).await.expect(statement);
    }
    let counted = tokio::process::Command::new(program())
        .args(["check", "--totals", "--repair", "--database-url", &database.url])
        .output()
        .await
        .expect("check");
    assert!(counted.status.success(), "{counted:?}");
    let service = Service::on(&database.url, &[]).await;
    service.logged("ready").await;
    (service, database, rows)
}

#[tokio::test]
async fn page_after_page_takes_no_more_memory() {
    let (service, _database, rows) = filled().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let total = format!("document.querySelector('.total')?.innerText.replaceAll(',', '').startsWith('{rows} ')");
    browser.go("/console/").await;
    browser.until(&total).await;
    // The time of the browser from the address to the drawn list, without what the service takes to begin. Told, not judged: machines differ.
    let mut times = Vec::new();
    for _ in 0..7 {
        browser.go("/console/").await;
        browser.until(&format!("window.listAt && {total}")).await;
        let shown = browser.value("window.listAt").await;
        times.push(shown.as_f64().expect("milliseconds"));
    }
    times.sort_by(f64::total_cmp);
    eprintln!(
        "{rows} incidents: the first page after {:.0} ms (median of 7; {:.0} to {:.0})",
        times[3], times[0], times[6]
    );

    let used = async || {
        browser.cdp("HeapProfiler.collectGarbage", json!({})).await;
        let counters = browser.cdp("Memory.getDOMCounters", json!({})).await;
        let heap = browser.cdp("Runtime.getHeapUsage", json!({})).await;
        (heap["usedSize"].as_f64().expect("bytes"), counters["nodes"].as_u64().expect("a number"))
    };
    let turn = async |pages: u32| {
        for _ in 0..pages {
            let cursor = browser.value("document.querySelector('#next-page').href").await;
            browser.click("#next-page").await;
            browser
                .until(&format!(
                    "document.querySelector('#next-page') && document.querySelector('#next-page').href !== {cursor}"
                ))
                .await;
        }
    };
    turn(5).await;
    let (heap, nodes) = used().await;
    turn(50).await;
    let (later_heap, later_nodes) = used().await;
    eprintln!("after 50 more pages: {heap:.0} to {later_heap:.0} bytes, {nodes} to {later_nodes} nodes");
    assert!(later_heap < heap * 1.3 + 300_000.0, "{heap} {later_heap}");
    assert!(later_nodes < nodes * 5 / 4 + 500, "{nodes} {later_nodes}");
    browser.end().await;
}
