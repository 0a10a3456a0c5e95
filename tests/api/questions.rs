//! Questions about many incidents, audits and workflows: filters by target and environment, several values, spans, facets, counts over time,
//! who wrote what.

use crate::support::{Service, Writer, date_ago, gateway_audit};
use chrono::{TimeDelta, Utc};
use data_storage_actors::domain::time::format_rfc3339;
use serde_json::{Value, json};

fn hours_ago(hours: i64) -> String {
    format_rfc3339(Utc::now() - TimeDelta::hours(hours))
}

/// Forty incidents, one an hour: namespaces `a` to `d`, environments, targets, statuses.
async fn fill(service: &Service) {
    for n in 0..40i64 {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["namespace"] = json!(["a", "b", "c", "d"][usize::try_from(n % 4).expect("small")]);
        body["targetResource"] = json!(format!("deployment/web-{}", n % 5));
        body["alertFingerprint"] = json!(format!("print-{}", n % 10));
        body["environment"] = if n % 2 == 0 { json!("production") } else { json!("") };
        body["status"] = if n % 8 == 0 { json!("failed") } else { json!("completed") };
        body["createdAt"] = json!(hours_ago(n + 1));
        service.post(Writer::Gateway, &body).await.audit_id();
    }
}

/// All entries of a list, page by page.
async fn walk(service: &Service, path: &str) -> Vec<Value> {
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.read(&format!("{path}{cursor}")).await;
        walked.extend(page["data"].as_array().expect("data").clone());
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { return walked };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn lists_by_target_by_several_values_by_spans_and_the_oldest_first() {
    let (service, _database) = Service::start().await;
    fill(&service).await;
    for (query, total) in [
        ("target_resource=deployment/web-1", 8),
        ("alert_fingerprint=print-3", 4),
        ("environment=production", 20),
        ("environment=production&alert_fingerprint=print-3", 0),
        ("namespace=a&namespace=b", 20),
        ("namespace=a&namespace=b&namespace=a&alert_name=HighMemoryUsage", 20),
        ("namespace=a&namespace=x", 10),
        ("namespace=a&namespace=b&severity=critical&severity=low", 20),
        ("target_resource=deployment/web-1&target_resource=deployment/web-2&namespace=a", 4),
        ("target_resource=deployment/web-1&target_resource=deployment/web-2", 16),
        ("status=failed&status=pending", 5),
        ("since=24h", 23),
        ("since=1d&until=12h", 12),
        ("since=24h&environment=production", 12),
    ] {
        let list = service.read(&format!("/api/v1/incidents?{query}&limit=1000")).await;
        let data = list["data"].as_array().expect("data");
        assert_eq!((list["pagination"]["total"].as_i64(), data.len()), (Some(total), total as usize), "{query}");
        assert!(
            data.windows(2).all(|pair| pair[0]["action_timestamp"].as_str() >= pair[1]["action_timestamp"].as_str())
        );
        // Walks meet each of them once, in either order.
        for order in ["newest", "oldest"] {
            let (mut walked, mut next) = (Vec::new(), String::new());
            loop {
                let page =
                    service.read(&format!("/api/v1/incidents?{query}&order={order}&limit=3&offset=0{next}")).await;
                assert_eq!(page["pagination"]["total"], total, "{query}");
                walked.extend(page["data"].as_array().expect("data").iter().map(|row| row["id"].clone()));
                let Some(cursor) = page["pagination"]["next_cursor"].as_str() else { break };
                next = format!("&cursor={cursor}");
            }
            let mut expected: Vec<Value> = data.iter().map(|row| row["id"].clone()).collect();
            if order == "oldest" {
                expected.reverse();
            }
            assert_eq!(walked, expected, "{query} {order}");
        }
        let middle = service.read(&format!("/api/v1/incidents?{query}&order=oldest&limit=2&offset=1")).await;
        let expected: Vec<&Value> = data.iter().rev().skip(1).take(2).collect();
        assert_eq!(middle["data"].as_array().expect("data").iter().collect::<Vec<_>>(), expected);
    }
    let cursor = service.read("/api/v1/incidents?limit=3").await["pagination"]["next_cursor"].clone();
    let cursor = cursor.as_str().expect("more");
    let twenty_one: String = (0..21).map(|n| format!("&namespace=n{n}")).collect();
    for (query, field) in [
        (format!("cursor={cursor}&order=oldest"), "cursor"),
        (format!("cursor={cursor}&offset=1"), "cursor"),
        (format!("cursor={cursor}&namespace=a"), "cursor"),
        ("order=random".to_owned(), "order"),
        ("order=newest&order=newest".to_owned(), "order"),
        ("since=24h&since=25h".to_owned(), "since"),
        ("since=24".to_owned(), "since"),
        ("until=1w".to_owned(), "until"),
        ("environment=".to_owned(), "environment"),
        (format!("limit=1{twenty_one}"), "namespace"),
    ] {
        let answer = service.get(&format!("/api/v1/incidents?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn facets_and_counts_over_time_add_up() {
    let (service, _database) = Service::start().await;
    fill(&service).await;
    let facets = service.read("/api/v1/incidents/facets?fields=namespace,status,environment,target_resource").await;
    let values = |field: &str| facets["data"][field]["values"].clone();
    assert_eq!(values("status"), json!([{"value": "completed", "count": 35}, {"value": "failed", "count": 5}]));
    assert_eq!(values("environment"), json!([{"value": "production", "count": 20}]), "what is not known is no value");
    assert_eq!(values("namespace")[0], json!({"value": "a", "count": 10}));
    assert_eq!(values("target_resource").as_array().map(Vec::len), Some(5));
    assert_eq!(facets["data"]["namespace"]["more"], false);
    // By the totals alone, and through the incidents: the same.
    let counted = service.read("/api/v1/incidents/facets?fields=namespace,severity&namespace=a&namespace=b").await;
    let read =
        service.read("/api/v1/incidents/facets?fields=namespace,severity&namespace=a&namespace=b&since=400d").await;
    assert_eq!(counted, read);
    assert_eq!(
        counted["data"]["namespace"]["values"],
        json!([{"value": "a", "count": 10}, {"value": "b", "count": 10}])
    );
    assert_eq!(counted["data"]["severity"]["values"], json!([{"value": "critical", "count": 20}]));
    assert_eq!(service.read("/api/v1/incidents/facets").await["data"].as_object().map(|data| data.len()), Some(9));
    let none = service.read("/api/v1/incidents/facets?fields=status&namespace=x").await;
    assert_eq!(none["data"], json!({"status": {"values": [], "more": false}}));
    for n in 0..101 {
        let mut body = gateway_audit(&format!("many-{n}"));
        body["alertName"] = json!(format!("Alert{n:03}"));
        service.post(Writer::Gateway, &body).await.audit_id();
    }
    let many = service.read("/api/v1/incidents/facets?fields=alert_name").await["data"]["alert_name"].clone();
    assert_eq!((many["values"].as_array().map(Vec::len), &many["more"]), (Some(100), &json!(true)));
    assert_eq!(many["values"][0], json!({"value": "HighMemoryUsage", "count": 40}));

    let all = |counts: &Value| -> i64 {
        let entries = counts["data"].as_array().expect("data").iter();
        entries.flat_map(|entry| entry["counts"].as_object().expect("counts").values()).filter_map(Value::as_i64).sum()
    };
    for interval in ["hour", "day", "week", "month"] {
        let counts =
            service.read(&format!("/api/v1/stats/counts?interval={interval}&alert_name=HighMemoryUsage")).await;
        assert_eq!(all(&counts), 40, "{interval}: {counts}");
        let times: Vec<&str> = counts["data"]
            .as_array()
            .expect("data")
            .iter()
            .map(|entry| entry["time"].as_str().expect("a time"))
            .collect();
        assert!(times.is_sorted() && times.iter().all(|time| time.ends_with(":00:00Z")), "{times:?}");
    }
    let grouped = "/api/v1/stats/counts?interval=hour&group_by=namespace,environment&alert_name=HighMemoryUsage";
    let whole = service.read(grouped).await;
    let entry = &whole["data"].as_array().expect("data")[0];
    assert!(entry["namespace"].is_string() && entry.get("environment").is_some() && all(&whole) == 40, "{entry}");
    let walked = walk(&service, &format!("{grouped}&limit=7")).await;
    assert_eq!(json!(walked), whole["data"]);
    for (path, field) in [
        ("incidents/facets?fields=colour", "fields"),
        ("stats/counts?interval=minute", "interval"),
        ("stats/counts?group_by=day", "group_by"),
        ("stats/counts?group_by=namespace,cluster,target,severity", "group_by"),
        ("stats/counts?limit=0", "limit"),
        ("stats/counts?cursor=x", "cursor"),
        ("stats/success-rate?group_by=status", "group_by"),
        ("stats/success-rate?cursor=AAAA", "cursor"),
    ] {
        let answer = service.get(&format!("/api/v1/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{path}");
    }
}

#[tokio::test]
async fn success_rates_are_grouped_by_anything_and_walked_through() {
    let (service, _database) = Service::start().await;
    fill(&service).await;
    for group_by in
        ["namespace", "target", "environment", "model_used", "day", "week", "month", "namespace,day,environment"]
    {
        let path = format!("/api/v1/stats/success-rate?group_by={group_by}");
        let whole = service.read(&path).await;
        let groups = whole["data"].as_array().expect("data");
        let sum: i64 = groups.iter().filter_map(|group| group["n"].as_i64()).sum();
        assert_eq!(sum, 40, "{group_by}: {whole}");
        assert!(groups.iter().all(|group| group_by.split(',').all(|name| group.get(name).is_some())), "{whole}");
        let walked = walk(&service, &format!("{path}&limit=1")).await;
        assert_eq!(json!(walked), whole["data"], "{group_by}");
    }
    let months = service.read("/api/v1/stats/success-rate?group_by=month").await;
    assert!(months["data"][0]["month"].as_str().is_some_and(|month| month.ends_with("-01T00:00:00Z")), "{months}");
}

/// An auditor's question: what did the executor do on that day?
#[tokio::test]
async fn who_wrote_what_and_when() {
    let (service, _database) = Service::start().await;
    for n in 0..20 {
        let at = format!("{}T10:00:{:02}Z", date_ago(20), n / 2);
        let mut body = gateway_audit(&format!("rr-{}", n % 4));
        body["createdAt"] = json!(at);
        body["reasoning"] = json!(n.to_string());
        service.post(if n % 2 == 0 { Writer::Gateway } else { Writer::AiAnalysis }, &body).await.audit_id();
        let step = json!({"workflowID": format!("wf-{}", n % 3), "stepName": format!("s{n}"), "stepStatus": "completed",
            "remediationRequestID": format!("rr-{}", n % 4), "executedAt": at});
        service.post_step(&step).await.audit_id();
    }
    let report = json!({"remediationRequestID": "rr-0", "executedAt": format!("{}T12:00:00Z", date_ago(19)), "status": "failed"});
    service.post(Writer::Executor, &report).await.audit_id();
    let user = |writer: Writer| format!("system:serviceaccount:kubernaut-system:{}", writer.account());
    let (day, next_day) = (date_ago(19), date_ago(18));
    for (query, count) in [
        (String::new(), 41),
        ("type=remediation".to_owned(), 21),
        ("type=workflow".to_owned(), 20),
        (format!("writer={}", user(Writer::Gateway)), 10),
        (format!("writer={}&since={day}T00:00:00Z&until={next_day}T00:00:00Z", user(Writer::Executor)), 1),
        (format!("writer={}&until={day}T00:00:00Z", user(Writer::Executor)), 0),
        ("remediation_request_id=rr-1".to_owned(), 10),
        ("namespace=production".to_owned(), 20),
        ("cluster=us-west-2&type=workflow".to_owned(), 0),
        ("namespace=unknown".to_owned(), 0),
        ("received_since=1h".to_owned(), 41),
        ("received_until=1h".to_owned(), 0),
    ] {
        let whole = service.read(&format!("/api/v1/audits?{query}&limit=1000")).await;
        let audits = whole["data"].as_array().expect("data");
        assert_eq!((audits.len(), &whole["pagination"]["has_more"]), (count, &json!(false)), "{query}");
        let time = |audit: &Value| {
            audit.get("createdAt").or(audit.get("executedAt")).and_then(Value::as_str).map(str::to_owned)
        };
        assert!(audits.windows(2).all(|pair| time(&pair[0]) >= time(&pair[1])), "newest first: {whole}");
        let walked = walk(&service, &format!("/api/v1/audits?{query}&limit=3")).await;
        assert_eq!(json!(walked), whole["data"], "{query}");
    }

    let workflows = service.read("/api/v1/workflows").await;
    let list = workflows["data"].as_array().expect("data");
    assert_eq!(list.len(), 3, "{workflows}");
    // The last step of wf-1 was posted last of all in its second.
    assert_eq!(
        list[0],
        json!({"workflow_id": "wf-1", "remediation_request_id": "rr-3", "status": "completed", "steps": 7,
            "first_step": "s1", "first_step_at": format!("{}T10:00:00Z", date_ago(20)),
            "last_step": "s19", "last_step_at": format!("{}T10:00:09Z", date_ago(20))})
    );
    let one = service.read("/api/v1/workflows?limit=1").await;
    let cursor = one["pagination"]["next_cursor"].as_str().expect("more");
    let rest = service.read(&format!("/api/v1/workflows?limit=10&cursor={cursor}")).await;
    assert_eq!(rest["data"].as_array().expect("data")[..], list[1..]);
    let of = |query: String| {
        let service = &service;
        async move { service.read(&format!("/api/v1/workflows?{query}")).await["data"].as_array().map(Vec::len) }
    };
    assert_eq!(of("remediation_request_id=rr-1".into()).await, Some(3));
    assert_eq!(of("remediation_request_id=rr-x".into()).await, Some(0));
    assert_eq!(of(format!("since={}T10:00:09Z", date_ago(20))).await, Some(2));
    assert_eq!(of(format!("until={}T10:00:09Z", date_ago(20))).await, Some(1));
    for (path, field) in [
        ("audits?type=x", "type"),
        ("audits?limit=1001", "limit"),
        ("audits?cursor=AAAA", "cursor"),
        ("workflows?since=x", "since"),
        ("audits?offset=0", "offset"),
    ] {
        let answer = service.get(&format!("/api/v1/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{path}");
    }
}

/// One request name in two clusters is one incident, and says so.
#[tokio::test]
async fn facts_in_conflict_are_told() {
    let (service, _database) = Service::start().await;
    let mut body = gateway_audit("rr");
    body["createdAt"] = json!(hours_ago(3));
    body["details"] = json!({"node": {"name": "n1", "zone": "a"}, "try": 1});
    service.post(Writer::Gateway, &body).await.audit_id();
    let detail = async || service.read(&format!("/api/v1/incidents/{}", service.incident_of("rr").await["id"])).await;
    assert_eq!(detail().await["conflicts"], json!([]));
    body["cluster"] = json!("eu-central-1");
    body["createdAt"] = json!(hours_ago(2));
    body["details"] = json!({"node": {"name": "n2"}});
    service.post(Writer::Gateway, &body).await.audit_id();
    // A report that does not state them contradicts nobody.
    let report = json!({"remediationRequestID": "rr", "executedAt": hours_ago(1), "details": {"try": 2}});
    service.post(Writer::Executor, &report).await.audit_id();
    let whole = detail().await;
    assert_eq!(whole["conflicts"], json!([{"field": "cluster", "values": ["eu-central-1", "us-west-2"]}]));
    assert_eq!(whole["attributes"], json!({"details": {"node": {"name": "n2", "zone": "a"}, "try": 2}}));
    let metrics = service.metrics().await;
    assert_eq!(metrics.get("datastorage_fact_conflicts_total{field=\"cluster\"}"), Some(&1.0));
    assert_eq!(metrics.get("datastorage_fact_conflicts_total{field=\"namespace\"}").copied().unwrap_or(0.0), 0.0);
}
