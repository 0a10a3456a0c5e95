//! deploy/prometheus and deploy/grafana: read by promtool; every name in them is a metric of the service; every alert has its page and its test.

use crate::deploy::{has, run};
use crate::pages::file;
use crate::support::Service;
use regex::Regex;
use serde_json::Value;
use std::collections::HashSet;

const DASHBOARDS: [&str; 6] = ["overview", "writes", "reads", "actors", "databases", "recall"];

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&file(path)).expect("YAML")
}

/// The rules of all groups.
fn rules() -> Vec<Value> {
    let rules = yaml("deploy/prometheus/rules.yaml");
    let groups = rules["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).cloned().collect()
}

#[test]
fn promtool_reads_the_rules_and_each_alert_fires_and_ends() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");
    if has("promtool") {
        run("promtool", &["check", "rules", &format!("{folder}/rules.yaml")]);
        run("promtool", &["check", "config", "--syntax-only", &format!("{folder}/prometheus.yml")]);
        run("promtool", &["test", "rules", &format!("{folder}/tests.yaml")]);
    }
    let of_operator = yaml("deploy/kubernetes/components/monitoring/prometheus-rule.yaml");
    assert_eq!(of_operator["spec"], yaml("deploy/prometheus/rules.yaml"), "the PrometheusRule has the same groups");
    let tests = yaml("deploy/prometheus/tests.yaml");
    let tested: Vec<&str> =
        tests["tests"].as_array().expect("tests").iter().filter_map(|test| test["name"].as_str()).collect();
    let mut pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks")).expect("a folder").count();
    for rule in rules() {
        let Some(alert) = rule["alert"].as_str() else { continue };
        assert!(tested.contains(&alert), "{alert} has no test");
        let url = rule["annotations"]["runbook_url"].as_str().expect("a runbook");
        assert!(url.ends_with(&format!("/docs/runbooks/{alert}.md")), "{url}");
        let page = file(&format!("docs/runbooks/{alert}.md"));
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(
            headings,
            ["What it means", "How to see it", "What to do", "How to be sure that it is over"],
            "{alert}"
        );
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().expect("a severity")));
        pages -= 1;
    }
    assert_eq!(pages, 0, "pages without an alert");
}

/// The expressions of a dashboard's panels, with what Grafana puts into them filled in.
pub fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions = targets.map(|target| target["expr"].as_str().expect("an expression"));
    expressions.map(|text| text.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

/// Each name in rules, dashboards and runbooks is a metric, and each dashboard is complete.
#[tokio::test]
async fn every_name_is_a_metric() {
    let (service, _database) = Service::start().await;
    service.read("/api/v1/incidents").await;
    let url = format!("http://{}/metrics", service.metrics_address);
    let text = service.client.get(url).send().await.expect("an answer").text().await.expect("text");
    let mut known: HashSet<String> =
        text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect();
    // Absent until something was compared.
    known.insert("datastorage_search_recall_ratio".into());
    known.insert("datastorage_recent_attempts".into());
    let name = Regex::new(r"\b(?:datastorage|process)_[a-z_]+").expect("a pattern");
    let check = |text: &str, whose: &str| {
        for found in name.find_iter(text) {
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| found.as_str().strip_suffix(end));
            let is_known = known.contains(found.as_str()) || base.is_some_and(|base| known.contains(base));
            assert!(is_known, "{whose}: {}", found.as_str());
        }
    };
    for rule in rules() {
        check(rule["expr"].as_str().expect("an expression"), &rule.to_string());
        if let Some(alert) = rule["alert"].as_str() {
            check(&file(&format!("docs/runbooks/{alert}.md")), alert);
        }
    }
    let mut ids = HashSet::new();
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&file(&format!("deploy/grafana/{name}.json"))).expect("JSON");
        assert!(ids.insert(dashboard["uid"].to_string()) && dashboard["schemaVersion"].as_i64() >= Some(39));
        let panels = dashboard["panels"].as_array().expect("panels");
        let numbers: HashSet<String> = panels.iter().map(|panel| panel["id"].to_string()).collect();
        assert_eq!(numbers.len(), panels.len(), "{name}: two panels with one id");
        for panel in panels {
            assert!(!panel["title"].as_str().expect("a title").is_empty());
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {}", panel["title"]);
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string());
        }
        let expressions = expressions(&dashboard);
        assert!(expressions.len() >= panels.len());
        for expression in expressions {
            check(&expression, name);
        }
    }
}
