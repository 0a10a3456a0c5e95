//! A real Prometheus scrapes the service while faults are caused: the alerts of deploy/prometheus fire, and end; every panel of deploy/grafana has data.

use super::pictures::{self, Panel};
use crate::support::proxy::{Proxy, Way};
use crate::support::{Database, Service, Writer, eventually_long, gateway_audit, has, server};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

fn file(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const DASHBOARDS: [&str; 6] = ["overview", "writes", "reads", "actors", "databases", "recall"];

struct Prometheus {
    process: Child,
    url: String,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// With the rules as they ship, in other times: windows of ten seconds, no patience, and an outbox that is late after two seconds.
    fn start(service: &Service) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = file("deploy/prometheus/rules.yaml");
        let rules = Regex::new(r"(?m)^ +for: .*\n").expect("a pattern").replace_all(&rules, "");
        let rules = Regex::new(r"\[\d+[mh]\]").expect("a pattern").replace_all(&rules, "[10s]");
        let rules = Regex::new(r"interval: \d+[ms]").expect("a pattern").replace_all(&rules, "interval: 1s");
        let rules = rules.replace("datastorage_outbox_lag_seconds > 600", "datastorage_outbox_lag_seconds > 2");
        std::fs::write(folder.path().join("rules.yaml"), rules).expect("written");
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "data-storage", "static_configs": [{"targets": [service.metrics_address.to_string()]}]}
            ],
        });
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, config.to_string()).expect("written");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .expect("prometheus");
        let url = format!("http://127.0.0.1:{port}/api/v1");
        Prometheus { process, url, client: reqwest::Client::new(), _folder: folder }
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let answer = self.client.get(format!("{}/{path}", self.url)).query(query).send().await.ok()?;
        let answer: Value = answer.json().await.ok()?;
        assert_eq!(answer["status"], "success", "{query:?}: {answer}");
        Some(answer["data"].clone())
    }

    /// The alerts that fire now; `None` where Prometheus does not answer.
    async fn firing(&self) -> Option<BTreeSet<String>> {
        let data = self.ask("alerts", &[]).await?;
        let alerts = data["alerts"].as_array()?.iter().filter(|alert| alert["state"] == "firing");
        Some(alerts.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect())
    }

    async fn fires(&self, alert: &str) {
        eventually_long(&format!("{alert} fires"), async || self.firing().await?.contains(alert).then_some(())).await;
    }

    async fn quiet(&self) {
        eventually_long("no alert fires", async || self.firing().await?.is_empty().then_some(())).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It ends with its test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks everything once, as a day's users do.
async fn use_everything(service: &Service, n: usize) {
    // Some of it fails while a fault lasts.
    let mut audit = gateway_audit(&format!("rr-{n}"));
    audit["status"] = json!(if n.is_multiple_of(4) { "failed" } else { "completed" });
    let posted = service.post(Writer::Gateway, &audit).await;
    if posted.status == 201 {
        service.get(&format!("/api/v1/audits/{}", posted.audit_id())).await;
    }
    service.post_step(&json!({"workflowID": "w", "stepName": "s", "stepStatus": "completed"})).await;
    for path in [
        "incidents",
        "incidents/facets?fields=severity",
        "stats/success-rate?group_by=alert_name",
        "stats/counts?interval=day",
        "audits",
        "workflows",
        "workflows/w/steps",
    ] {
        service.get(&format!("/api/v1/{path}")).await;
    }
    let incidents = service.get("/api/v1/incidents?limit=1").await;
    if incidents.status == 200
        && let Some(id) = incidents.json()["data"][0]["id"].as_i64()
    {
        for path in ["", "/timeline", "/similar"] {
            service.get(&format!("/api/v1/incidents/{id}{path}")).await;
        }
    }
    service.search(&json!({"query": "memory"})).await;
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}});
    let headers = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    service.send(reqwest::Method::POST, "/mcp", &headers, Some(call.to_string().as_bytes())).await;
}

/// Goes on until a part of the test is done.
async fn meanwhile<T>(service: &Service, part: impl Future<Output = T>) -> T {
    let load = async {
        for n in 0.. {
            use_everything(service, n).await;
        }
    };
    tokio::select! {
        done = part => done,
        () = load => unreachable!("the load has no end"),
    }
}

async fn every_panel_has_data(prometheus: &Prometheus) {
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&file(&format!("deploy/grafana/{name}.json"))).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                let expression = filled(target);
                eventually_long(&format!("{name}, {}: {expression}", panel["title"]), async || {
                    let data = prometheus.ask("query", &[("query", &expression)]).await?;
                    data["result"].as_array().filter(|series| !series.is_empty()).map(|_| ())
                })
                .await;
            }
        }
    }
}

/// Draws each dashboard as it looks now, into docs/plots.
async fn draw_dashboards(prometheus: &Prometheus) {
    let now = chrono::Utc::now().timestamp();
    let (start, end) = ((now - 45).to_string(), now.to_string());
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&file(&format!("deploy/grafana/{name}.json"))).expect("JSON");
        let mut panels = Vec::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            let mut lines = Vec::new();
            for target in panel["targets"].as_array().expect("targets") {
                let (expression, legend) = (filled(target), target["legendFormat"].as_str().unwrap_or_default());
                let query = [("query", &*expression), ("start", &*start), ("end", &*end), ("step", "1")];
                lines.extend(pictures::lines(&prometheus.ask("query_range", &query).await.expect("an answer"), legend));
            }
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
            panels.push(Panel { title: text(&panel["title"]), unit, lines });
        }
        let path = format!("{}/docs/plots/grafana-{name}.svg", env!("CARGO_MANIFEST_DIR"));
        pictures::draw(&path, dashboard["title"].as_str().expect("a title"), &panels);
    }
}

/// A panel's expression with what Grafana fills in.
fn filled(target: &Value) -> String {
    let expression = target["expr"].as_str().expect("an expression");
    expression.replace("$__rate_interval", "10s").replace("$instance", ".*")
}

async fn locked(database: &Database, part: impl Future<Output = ()>) {
    let other = server().connect(&database.name).await;
    other.batch_execute("BEGIN; LOCK TABLE remediation_audit IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    part.await;
    other.batch_execute("ROLLBACK").await.expect("unlocked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_fire_during_a_fault_and_end_with_it() {
    if !has("prometheus", "--version") {
        return;
    }
    let (database, vector) = (server().database().await, Proxy::start().await);
    let vector_url = vector.url(&database.name);
    let settings = [("VECTOR_DATABASE_URL", &*vector_url), ("REQUEST_DEADLINE", "1s")];
    let mut service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    service.migrated().await;
    let prometheus = Prometheus::start(&service);

    meanwhile(&service, async {
        every_panel_has_data(&prometheus).await;
        // Every rule is evaluated without an error.
        let rules = prometheus.ask("rules", &[]).await.expect("rules");
        for group in rules["groups"].as_array().expect("groups") {
            for rule in group["rules"].as_array().expect("rules") {
                assert_eq!(rule["health"], "ok", "{rule}");
            }
        }
        prometheus.quiet().await;

        let url = format!("http://{}/debug/panic/similarity", service.metrics_address);
        assert_eq!(service.client.post(url).send().await.expect("an answer").status(), 204);
        prometheus.fires("DataStorageActorRestarts").await;
        prometheus.quiet().await;

        // Steps of workflows are written meanwhile, so the database serves.
        locked(&database, prometheus.fires("DataStorageWriteErrorBudgetBurn")).await;
        prometheus.quiet().await;

        vector.set(Way::Cut);
        for alert in ["DataStorageSearchErrorBudgetBurn", "DataStorageOutboxLag", "DataStorageDatabaseNotServing"] {
            prometheus.fires(alert).await;
        }
        vector.set(Way::Open);
        prometheus.quiet().await;
    })
    .await;

    if std::env::var_os("RECORD").is_some() {
        draw_dashboards(&prometheus).await;
    }
    service.kill();
    prometheus.fires("DataStorageDown").await;
}
