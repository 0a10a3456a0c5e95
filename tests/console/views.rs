//! Each view with the demo's week: what it shows is what the API says, in light and dark, without a fault of access.

use crate::browser::Browser;
use crate::support::{Database, Service, eventually};
use tokio::process::Command;

/// Those that stand in the docs.
const PICTURES: [&str; 7] = [
    "incidents-light",
    "incident-dark",
    "search-light",
    "search-phone",
    "success-light",
    "health-light",
    "compare-light",
];

/// A service with the week of `make demo`.
pub async fn with_a_week() -> (Service, Database) {
    let (service, database) = Service::start().await;
    let demo = Command::new("python3")
        .arg("tools/demo.py")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LISTEN_ADDR", service.address.to_string())
        .env("AUTH_TOKENS_FILE", service.tokens())
        .output()
        .await
        .expect("python3");
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    eventually("all is searchable", async || {
        let health = service.read("/health").await;
        (health["parts"]["outbox"]["rows"] == 0).then_some(())
    })
    .await;
    (service, database)
}

/// The numbers in a text: `1,234 of 5` has 1234 and 5.
fn numbers(text: &str) -> Vec<u64> {
    let digits = text.replace(',', "");
    digits.split(|at: char| !at.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[tokio::test]
async fn each_view_shows_what_the_api_says() {
    let (service, _database) = with_a_week().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let crash = "alert_name=KubePodCrashLooping";
    let list = service.read(&format!("/api/v1/incidents?{crash}&limit=50")).await;
    let [one, other] = [0, 1].map(|at| list["data"][at]["id"].as_u64().expect("an id"));

    // The list: its total and the counts of its filters.
    browser.go(&format!("/console/?{crash}")).await;
    browser.drawn().await;
    let total = list["pagination"]["total"].as_u64().expect("a total");
    assert_eq!(numbers(&browser.text(".total").await), [total, 50]);
    assert_eq!(browser.value("document.querySelectorAll('tbody tr').length").await, 50);
    let facets = service.read(&format!("/api/v1/incidents/facets?fields=status&{crash}")).await;
    for value in facets["data"]["status"]["values"].as_array().expect("values") {
        let label = format!("label[for='facet-status-{}']", value["value"].as_str().expect("a status"));
        browser.until(&format!("document.querySelector(\"{label}\")")).await;
        let text = browser.text(&label).await;
        assert!(numbers(&text).contains(&value["count"].as_u64().expect("a count")), "{text} {value}");
    }
    // The alert is filtered by, and the others are still offered, with their counts.
    let others = service.read("/api/v1/incidents/facets?fields=alert_name").await;
    let first = &others["data"]["alert_name"]["values"][0];
    let label = format!("label[for='facet-alert_name-{}']", first["value"].as_str().expect("a name"));
    browser.until(&format!("document.querySelector(\"{label}\")")).await;
    let text = browser.text(&label).await;
    assert!(numbers(&text).contains(&first["count"].as_u64().expect("a count")), "{text} {first}");

    // Page by page, each incident once; "back" leads back.
    browser.click("#next-page").await;
    browser.until(&format!("document.querySelectorAll('tbody tr').length === {}", total - 50)).await;
    assert!(browser.value("location.search").await.as_str().expect("a query").contains("cursor="));
    browser.client.back().await.expect("back");
    browser.until("document.querySelectorAll('tbody tr').length === 50").await;

    // A filter that is chosen stands in the address, and has the focus still.
    browser.click("#facet-status-failed").await;
    browser.until("location.search.includes('status=failed')").await;
    browser.until("document.querySelector('#facet-status-failed')?.checked && document.activeElement.id === 'facet-status-failed'").await;
    let failed = service.read(&format!("/api/v1/incidents?{crash}&status=failed")).await;
    let fit = failed["pagination"]["total"].as_u64().expect("a total");
    browser.until(&format!("document.querySelector('.total')?.innerText.startsWith('{fit} ')")).await;

    // One incident: what happened, what was tried, whether it held, who wrote it.
    browser.go(&format!("/console/incidents/{one}")).await;
    browser.drawn().await;
    let detail = service.read(&format!("/api/v1/incidents/{one}")).await;
    let page = browser.text("main").await;
    for fact in [
        "alert_name",
        "target_resource",
        "namespace",
        "cluster_name",
        "action_type",
        "reasoning",
        "remediation_request_id",
    ] {
        assert!(page.contains(detail[fact].as_str().expect(fact)), "{fact} {page}");
    }
    for writer in
        ["gateway-sa", "aianalysis-controller-sa", "kubernetes-executor-sa", "workflowexecution-controller-sa"]
    {
        assert!(page.contains(writer), "{writer}");
    }
    let timeline = service.read(&format!("/api/v1/incidents/{one}/timeline")).await;
    let steps = timeline["data"].as_array().expect("steps").len();
    assert_eq!(browser.value("document.querySelectorAll('.timeline .moment').length").await, steps);
    let url = format!(
        "/api/v1/stats/success-rate?group_by=action_type&remediation_request_id={}",
        detail["remediation_request_id"].as_str().expect("a name")
    );
    let tries = service.read(&url).await;
    let told = browser.text(".verdict").await;
    let tried = &tries["data"][0];
    let expected = if tried["recurred"] == 1 {
        "but the alert came back"
    } else if tried["completed"] == 1 {
        "has not come back"
    } else {
        "failed"
    };
    assert!(told.contains(expected), "{told} {tries}");
    let similar = service.read(&format!("/api/v1/incidents/{one}/similar?limit=8")).await;
    let worked = similar["summary"]["worked"][0]["action_type"].as_str().expect("an action");
    assert!(browser.text(".answer.good").await.contains(worked), "{similar}");

    // A search: what worked, why, and what was searched.
    browser.go("/console/search?q=checkout+is+killed+with+exit+code+137").await;
    browser.drawn().await;
    let answer = service.search(&serde_json::json!({ "query": "checkout is killed with exit code 137" })).await.json();
    let worked = &answer["summary"]["worked"][0];
    let told = browser.text(".answer.good").await;
    // Halves go up, as in the console.
    let rate = format!("{} %", (worked["success_rate"].as_f64().expect("a rate") * 100.0 + 0.5).floor().min(99.0));
    assert!(
        told.contains(worked["action_type"].as_str().expect("an action")) && told.contains(&rate),
        "{told} {worked}"
    );
    assert_eq!(browser.value("document.querySelectorAll('.hit').length").await, 10);
    assert!(browser.text(".hit").await.contains("137"));
    let covered = browser.text("#coverage").await;
    let known = answer["coverage"]["known_terms"].as_u64().expect("a number");
    assert!(
        covered.starts_with("500 of 500 incidents were searched") && numbers(&covered).contains(&known),
        "{covered}"
    );

    // Rates: those of the API, one row a group.
    browser.go("/console/success?group_by=action_type").await;
    browser.drawn().await;
    let rates = service.read("/api/v1/stats/success-rate?group_by=action_type").await;
    let rates = rates["data"].as_array().expect("rates");
    assert_eq!(
        browser.value("document.querySelector('table[aria-label=\"Success rates\"] tbody').rows.length").await,
        rates.len()
    );
    let row = browser.text("table[aria-label='Success rates'] tbody tr").await;
    assert!(row.contains(rates[0]["action_type"].as_str().expect("an action")), "{row}");
    assert!(numbers(&row).contains(&rates[0]["n"].as_u64().expect("a number")), "{row} {}", rates[0]);
    assert!(browser.value("document.querySelectorAll('.plot').length").await == 2);

    browser.go("/console/health").await;
    browser.until("document.querySelector('.verdict')?.innerText.includes('All parts work')").await;

    browser.go(&format!("/console/compare?ids={one},{other}")).await;
    browser.drawn().await;
    browser.until("document.querySelectorAll('.timeline').length === 2 && document.querySelectorAll('.copiers').length === 4 && document.querySelector('tr.same') && document.querySelector('tr.differs')").await;

    browser.go("/console/incidents/1").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('There is no such thing')").await;
    browser.go("/console/incidents?severity=sever").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('severity')").await;
    browser.assert_calm("all views").await;
    browser.end().await;
}

#[tokio::test]
async fn each_view_can_be_used_by_all_and_asks_nobody_else() {
    let (service, _database) = with_a_week().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let list = service.read("/api/v1/incidents?alert_name=KubePodCrashLooping&status=failed&limit=2").await;
    let [one, other] = [0, 1].map(|at| list["data"][at]["id"].as_u64().expect("an id"));
    let views = [
        ("incidents", "/console/".to_owned()),
        ("incident", format!("/console/incidents/{one}")),
        ("search", "/console/search?q=KubePodCrashLooping&namespace=staging".to_owned()),
        ("success", "/console/success".to_owned()),
        ("health", "/console/health".to_owned()),
        ("compare", format!("/console/compare?ids={one},{other}")),
        ("nothing", "/console/incidents?namespace=none".to_owned()),
        ("missing", "/console/incidents/1".to_owned()),
    ];
    let mut faults = Vec::new();
    for (scheme, width) in [("light", 1300), ("dark", 1300), ("light", 360)] {
        browser.scheme(scheme).await;
        browser.size(width, 900).await;
        for (name, path) in &views {
            browser.go(path).await;
            browser.drawn().await;
            if *name == "health" {
                browser.until("document.querySelector('.verdict')").await;
            }
            let place = format!("{name} {scheme} {width}");
            let shown = format!("{name}-{}", if width == 360 { "phone" } else { scheme });
            if PICTURES.contains(&shown.as_str()) {
                browser.picture(&shown).await;
            }
            // On a phone nothing stands out of the page on the right.
            let stands_out = browser.value("document.documentElement.scrollWidth - innerWidth").await;
            assert!(stands_out.as_i64().expect("pixels") <= 0, "{place}: {stands_out}");
            browser.assert_calm(&place).await;
            faults.extend(browser.faults_of_access().await.into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let own = service.url("/");
    for url in browser.asked().await {
        assert!(url.starts_with(&own) || url.starts_with("data:") || url == "about:blank", "{url}");
    }
    assert_eq!(browser.value("document.cookie").await, "");
    browser.end().await;
}
