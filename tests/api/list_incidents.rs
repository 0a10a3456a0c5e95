//! The incident list: every filter, order, offset, cursor, exact total.

use crate::support::{Service, Writer, month_ago};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;

const ALERTS: [&str; 3] = ["HighMemoryUsage", "PodCrashLooping", "DiskFull"];
const ACTIONS: [&str; 2] = ["scale", "restart"];
const STATUSES: [&str; 3] = ["completed", "failed", "in_progress"];

/// 120 incidents over the three months before this one, many of them at the same instant.
async fn fill(service: &Service) {
    let posts = (0..120usize).map(|n| {
        let body = json!({
            "remediationRequestID": format!("rr-{n}"),
            "alertName": ALERTS[n % 3],
            "namespace": format!("ns-{}", n % 4),
            "cluster": format!("cluster-{}", n % 5),
            "priority": format!("P{}", n % 4),
            "actionType": ACTIONS[n % 2],
            "status": STATUSES[n % 3],
            "createdAt": format!("{}-{:02}T10:00:00Z", month_ago([3, 2, 1][n % 3]), 1 + n % 7),
        });
        async move { service.post(Writer::AiAnalysis, &body).await.audit_id() }
    });
    join_all(posts).await;
}

fn ids(page: &Value) -> Vec<i64> {
    page["data"].as_array().expect("data").iter().filter_map(|incident| incident["id"].as_i64()).collect()
}

#[tokio::test]
async fn filters_totals_and_order() {
    let (service, database) = Service::start().await;
    fill(&service).await;
    let [first, second, third] = [3, 2, 1].map(month_ago);
    let by_time = [
        (format!("since={second}-01T00:00:00Z"), format!("action_timestamp >= '{second}-01Z'")),
        (format!("until={second}-03T10:00:00Z"), format!("action_timestamp < '{second}-03T10:00:00Z'")),
        (
            format!("since={second}-03T12:00:00%2B02:00&until={third}-02T10:00:00Z"),
            format!("action_timestamp >= '{second}-03T10:00:00Z' AND action_timestamp < '{third}-02T10:00:00Z'"),
        ),
        (
            format!(
                "alert_name=DiskFull&severity=low&action_type=restart&namespace=ns-3&cluster=cluster-1&status=in_progress&since={third}-01T00:00:00Z"
            ),
            format!(
                "alert_name = 'DiskFull' AND alert_severity = 'low' AND action_type = 'restart' AND namespace = 'ns-3' AND cluster_name = 'cluster-1' AND execution_status = 'in_progress' AND action_timestamp >= '{third}-01Z'"
            ),
        ),
        (format!("since={third}-01T00:00:00Z&until={first}-01T00:00:00Z"), "false".to_owned()),
    ];
    let by_fact = [
        ("", "true"),
        ("alert_name=DiskFull", "alert_name = 'DiskFull'"),
        ("severity=critical", "alert_severity = 'critical'"),
        ("severity=CRITICAL", "alert_severity = 'critical'"),
        ("action_type=scale", "action_type = 'scale'"),
        ("namespace=ns-3", "namespace = 'ns-3'"),
        ("cluster=cluster-0", "cluster_name = 'cluster-0'"),
        ("status=success", "execution_status = 'completed'"),
        ("remediation_request_id=rr-7", "correlation_id = 'rr-7'"),
        ("alert_name=HighMemoryUsage&severity=high", "alert_name = 'HighMemoryUsage' AND alert_severity = 'high'"),
        ("alert_name=nothing", "false"),
    ];
    let by_fact = by_fact.map(|(query, condition)| (query.to_owned(), condition.to_owned()));
    for (query, condition) in by_fact.into_iter().chain(by_time) {
        let page = service.read(&format!("/api/v1/incidents?limit=1000&{query}")).await;
        let sql =
            format!("SELECT id FROM resource_action_traces WHERE {condition} ORDER BY action_timestamp DESC, id DESC");
        let expected: Vec<i64> = database.rows(&sql, &[]).await.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids(&page), expected, "{query}");
        let pagination = &page["pagination"];
        assert_eq!(pagination["total"], expected.len(), "{query}");
        assert_eq!((&pagination["has_more"], &pagination["next_cursor"]), (&json!(false), &Value::Null), "{query}");
        assert_eq!(
            service.read(&format!("/api/v1/incidents?total=false&{query}")).await["pagination"]["total"],
            Value::Null
        );
    }
    let default = service.read("/api/v1/incidents").await;
    assert_eq!((ids(&default).len(), &default["pagination"]["limit"]), (100, &json!(100)));
    assert_eq!((&default["pagination"]["offset"], &default["pagination"]["has_more"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn offsets_and_cursors_meet_every_incident_once() {
    let (service, _database) = Service::start().await;
    fill(&service).await;
    let since = format!("&alert_name=DiskFull&since={}-02T00:00:00Z", month_ago(3));
    for filter in ["", "&action_type=scale", &since] {
        let all = ids(&service.read(&format!("/api/v1/incidents?limit=1000{filter}")).await);
        for limit in [1, 7, 50] {
            let (mut by_offset, mut by_cursor) = (Vec::new(), Vec::new());
            let mut cursor = String::new();
            loop {
                let page =
                    service.read(&format!("/api/v1/incidents?limit={limit}&offset={}{filter}", by_offset.len())).await;
                by_offset.extend(ids(&page));
                let page = service.read(&format!("/api/v1/incidents?limit={limit}{filter}{cursor}")).await;
                by_cursor.extend(ids(&page));
                assert!(by_cursor.len() <= all.len(), "the walk goes round: {filter} {limit}");
                assert_eq!(page["pagination"]["total"], all.len());
                match page["pagination"]["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
                assert_eq!(page["pagination"]["has_more"], true);
            }
            assert_eq!(by_offset, all, "{filter} {limit}");
            assert_eq!(by_cursor, all, "{filter} {limit}");
        }
        let beyond = service.read(&format!("/api/v1/incidents?offset=100000{filter}")).await;
        assert_eq!((ids(&beyond).len(), &beyond["pagination"]["total"]), (0, &json!(all.len())));
    }
}

/// There are new incidents and changed facts in the middle of a walk. The walk meets every incident that was there at
/// its beginning, and meets it once.
#[tokio::test]
async fn a_walk_beside_writers() {
    let (service, _database) = Service::start().await;
    fill(&service).await;
    let before: HashSet<i64> = ids(&service.read("/api/v1/incidents?limit=1000").await).into_iter().collect();
    let mut met = Vec::new();
    let mut cursor = String::new();
    for n in 0.. {
        let page = service.read(&format!("/api/v1/incidents?limit=10{cursor}")).await;
        met.extend(ids(&page));
        assert!(n < 100, "the walk goes round");
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        let more = json!({
            "remediationRequestID": format!("rr-{}", if n % 2 == 0 { n * 7 } else { 1000 + n }),
            "alertName": "Other", "namespace": "n", "cluster": "c", "status": "failed",
        });
        service.post(Writer::Gateway, &more).await.audit_id();
    }
    let unique: HashSet<i64> = met.iter().copied().collect();
    assert_eq!(unique.len(), met.len(), "none twice");
    assert!(unique.is_superset(&before), "none missed");
}
