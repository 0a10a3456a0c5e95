//! Facts of one second, workloads, and attempts: what an incident tells when its audits are read in the order in which things happened.

use super::search::{embedded, id, remediate, search};
use crate::support::{Service, Writer, date_ago, eventually, gateway_audit};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// An audit of a request with this status at a second of one minute.
fn audit(request: &str, status: &str, second: u32, more: Value) -> Value {
    let mut body = gateway_audit(request);
    body["status"] = json!(status);
    // A place of its own: one does not recur in the other.
    body["namespace"] = json!(request);
    body["createdAt"] = json!(format!("{}T10:00:{second:02}Z", date_ago(20)));
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

/// Kubernetes writes whole seconds: of two steps of one second the further one is the later, in whatever order they arrive.
#[tokio::test]
async fn of_one_second_the_further_status_wins() {
    let (service, _database) = Service::start().await;
    let pairs = [
        ("in_progress", "completed"),
        ("pending", "failed"),
        ("pending", "in_progress"),
        ("completed", "rolled_back"),
        ("cancelled", "rolled_back"),
    ];
    for (first, last) in pairs {
        // Ids are digests: one of two orders would be right by chance.
        for n in 0..8 {
            let request = format!("{first}-{last}-{n}");
            let mut posts =
                [audit(&request, first, 0, json!({})), audit(&request, last, 0, json!({"reasoning": "so it ended"}))];
            if n % 2 == 1 {
                posts.reverse();
            }
            for post in &posts {
                service.post(Writer::Gateway, post).await.audit_id();
            }
            assert_eq!(service.incident_of(&request).await["execution_status"], last, "{request}");
            let report = json!({"remediationRequestID": request, "executedAt": format!("{}T10:00:01Z", date_ago(20)), "status": first});
            service.post(Writer::Executor, &report).await.audit_id();
            assert_eq!(service.incident_of(&request).await["execution_status"], first, "a second later");
        }
    }
    // Reports alike: `executedAt` is their time.
    for n in 0..8 {
        let request = format!("reports-{n}");
        let report = |status: &str| json!({"remediationRequestID": request, "executedAt": format!("{}T10:00:01Z", date_ago(20)), "status": status, "actionType": status});
        for status in if n % 2 == 0 { ["executing", "success"] } else { ["success", "executing"] } {
            service.post(Writer::Executor, &report(status)).await.audit_id();
        }
        let incident = service.incident_of(&request).await;
        assert_eq!((&incident["execution_status"], &incident["action_type"]), (&json!("completed"), &json!("success")));
    }
}

#[tokio::test]
async fn steps_of_one_second_come_in_the_order_of_receipt() {
    let (service, _database) = Service::start().await;
    let names: Vec<String> = (0..12).map(|n| format!("step-{n}")).collect();
    service.post(Writer::Gateway, &audit("rr", "pending", 0, json!({}))).await.audit_id();
    for name in &names {
        let step = json!({"workflowID": "wf", "stepName": name, "stepStatus": "completed", "remediationRequestID": "rr",
            "executedAt": format!("{}T10:00:00Z", date_ago(20))});
        service.post_step(&step).await.audit_id();
    }
    let steps = service.read("/api/v1/workflows/wf/steps").await;
    let of = |list: &Value, name: &str| -> Vec<String> {
        let list = list["data"].as_array().expect("data");
        list.iter().filter_map(|entry| entry[name].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(of(&steps, "stepName"), names);
    let incident = service.incident_of("rr").await["id"].as_i64().expect("an id");
    let timeline = service.read(&format!("/api/v1/incidents/{incident}/timeline")).await;
    assert_eq!(of(&timeline, "stepName"), names);
    for n in 1..12 {
        service.post(Writer::Gateway, &audit("rr", "pending", 0, json!({"reasoning": n.to_string()}))).await.audit_id();
    }
    let audits = service.read(&format!("/api/v1/incidents/{incident}")).await["audits"].clone();
    let order: Vec<String> =
        audits.as_array().expect("audits").iter().filter_map(|a| a["reasoning"].as_str().map(str::to_owned)).collect();
    assert_eq!(order, (1..12).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// The alert comes back for another pod of the same workload.
#[tokio::test]
async fn an_alert_recurs_for_the_workload() {
    let (service, database) = Service::start().await;
    let fields = |target: &str| json!({"alertName": "HighLatency", "reasoning": "requests are slow", "actionType": "restart", "targetResource": target});
    remediate(&service, "first", 0, fields("pod/web-6f7d8c9b5d-x2k4q"), "completed").await;
    remediate(&service, "again", 20, fields("shop/Pod/web-6f7d8c9b5d-9zt7m"), "failed").await;
    remediate(&service, "other", 21, fields("pod/cart-6f7d8c9b5d-x2k4q"), "completed").await;
    let rates = service.read("/api/v1/stats/success-rate?group_by=target").await;
    let of = |target: &str| {
        let groups = rates["data"].as_array().expect("data");
        let group = groups.iter().find(|group| group["target"] == target).expect(target);
        [&group["completed"], &group["failed"], &group["recurred"]].map(|count| count.as_i64().expect("a count"))
    };
    assert_eq!(of("deployment/web"), [0, 1, 1]);
    assert_eq!(of("deployment/cart"), [1, 0, 0]);
    embedded(&service, &database, 3).await;
    let found = search(&service, json!({"incident_id": id(&service, "again").await})).await;
    let hits = found["data"].as_array().expect("hits");
    assert_eq!(hits[0]["remediation_request_id"], "first", "the same workload comes first: {found}");
    assert_eq!(hits[0]["outcome"], "recurred");
    let signals: Vec<&str> =
        hits[0]["why"].as_array().expect("why").iter().filter_map(|why| why["signal"].as_str()).collect();
    assert!(signals.contains(&"target") && signals.contains(&"place"), "{signals:?}");
    assert!(!hits[1]["why"].to_string().contains("\"target\""), "{found}");
}

/// However many newer ones there are elsewhere, what happened in the same place comes first among equals.
#[tokio::test]
async fn of_equal_hits_the_closest_comes_first() {
    let (service, database) = Service::start().await;
    let fields = |place: &str, target: &str| {
        json!({"alertName": "HighLatency", "reasoning": "requests are slow", "actionType": "restart",
        "namespace": place, "targetResource": target})
    };
    remediate(&service, "same-target", 0, fields("shop", "deployment/web"), "completed").await;
    for n in 0..3 {
        remediate(&service, &format!("same-place-{n}"), 1 + n, fields("shop", "deployment/cart"), "completed").await;
    }
    for n in 0..140 {
        remediate(&service, &format!("elsewhere-{n}"), 10 + n, fields(&format!("ns-{n}"), "deployment/x"), "completed")
            .await;
    }
    remediate(&service, "now", 200, fields("shop", "Deployment/web"), "failed").await;
    embedded(&service, &database, 145).await;
    let found = search(&service, json!({"incident_id": id(&service, "now").await, "limit": 5})).await;
    let requests: Vec<&str> = found["data"]
        .as_array()
        .expect("hits")
        .iter()
        .filter_map(|hit| hit["remediation_request_id"].as_str())
        .collect();
    assert_eq!(requests, ["same-target", "same-place-2", "same-place-1", "same-place-0", "elsewhere-139"]);
}

/// What was tried, and its end, in order: each attempt counts once, in statistics and in summaries.
#[tokio::test]
async fn an_attempt_is_not_forgotten_when_the_request_goes_on() {
    let story = |request: &str| {
        let on = |status: &str, second: u32, action: &str| {
            audit(
                request,
                status,
                second,
                json!({"actionType": action, "reasoning": "requests are slow", "durationMs": second * 1000}),
            )
        };
        vec![
            on("in_progress", 1, "restart"),
            on("failed", 2, "restart"),
            on("completed", 3, "restart"),
            on("pending", 4, "scale"),
            on("in_progress", 5, "scale"),
            on("failed", 6, "scale"),
            on("in_progress", 7, "rollback"),
        ]
    };
    let (service, database) = Service::start().await;
    let two = Service::on(&database.url, &[]).await;
    two.logged("ready").await;
    // In order, in reverse, and shuffled, over two replicas.
    for (n, order) in
        [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 1, 5, 2, 4], [2, 5, 6, 0, 4, 1, 3]].iter().enumerate()
    {
        let story = story(&format!("rr-{n}"));
        for (at, place) in order.iter().enumerate() {
            let service = if at % 2 == 0 { &service } else { &two };
            service.post(Writer::Gateway, &story[*place]).await.audit_id();
        }
    }
    // All at once.
    for n in 4..8 {
        let story = story(&format!("rr-{n}"));
        let posts = story.iter().enumerate().map(|(at, body)| {
            let service = if at % 2 == 0 { &service } else { &two };
            async move { service.post(Writer::Gateway, body).await.audit_id() }
        });
        futures_util::future::join_all(posts).await;
    }
    let counts = async || {
        let rates = service.read("/api/v1/stats/success-rate?group_by=action_type").await;
        let groups = rates["data"].as_array().expect("data").clone();
        let of = |group: &Value| {
            (
                group["action_type"].clone(),
                group["completed"].clone(),
                group["failed"].clone(),
                group["median_duration"].clone(),
            )
        };
        groups.iter().map(of).collect::<Vec<_>>()
    };
    // A final status behind a final one corrects the same attempt: the restart completed.
    let expected =
        [(json!("restart"), json!(8), json!(0), json!(3000.0)), (json!("scale"), json!(0), json!(8), json!(6000.0))];
    assert_eq!(counts().await, expected);
    embedded(&service, &database, 8).await;
    let found = search(&service, json!({"query": "slow requests"})).await;
    assert_eq!(found["summary"]["worked"][0]["action_type"], "restart", "{found}");
    assert_eq!(found["summary"]["worked"][0]["completed"], 8);
    assert_eq!(found["summary"]["do_not_repeat"][0]["failed"], 8);
    assert_eq!(found["data"][0]["outcome"], "in_progress");
    // What a crash left undone is made up for: nothing of an attempt is written, and the note stands.
    database
        .client
        .batch_execute("DELETE FROM earlier_attempts; UPDATE resource_action_traces SET attempts_due = 2")
        .await
        .expect("undone");
    let three = Service::on(&database.url, &[]).await;
    three.logged("ready").await;
    let due = "SELECT count(*) FROM resource_action_traces WHERE attempts_due = 2";
    eventually("made up for", async || (database.number(due).await == 0).then_some(())).await;
    assert_eq!(database.number("SELECT count(*) FROM earlier_attempts").await, 2 * 8);
    assert_eq!(counts().await, expected);
    // The third attempt ends.
    for n in 0..8 {
        let end = audit(&format!("rr-{n}"), "completed", 8, json!({"durationMs": 8000}));
        service.post(Writer::Gateway, &end).await.audit_id();
    }
    assert_eq!(counts().await.len(), 3);
    let filtered =
        service.read("/api/v1/stats/success-rate?group_by=action_type&action_type=scale&status=failed").await;
    assert_eq!((filtered["data"].as_array().expect("data").len(), &filtered["data"][0]["n"]), (1, &json!(8)));
}

/// The ended attempts of a request, or of a namespace: action, and how many completed, failed and recurred.
async fn attempts_of(service: &Service, filter: &str) -> Vec<(Value, [Value; 3])> {
    let rates = service.read(&format!("/api/v1/stats/success-rate?group_by=action_type&{filter}")).await;
    let rows = rates["data"].as_array().expect("data").iter();
    let counts = |row: &Value| ["completed", "failed", "recurred"].map(|name| row[name].clone());
    rows.map(|row| (row["action_type"].clone(), counts(row))).collect()
}

/// An attempt has the action that was stated until its end, in whatever order the audits come, and alone or together.
#[tokio::test]
async fn an_attempt_keeps_the_action_that_it_had() {
    let (service, _database) = Service::start().await;
    let audits = |request: &str| {
        let mut posts = [
            audit(request, "failed", 0, json!({"actionType": "scale"})),
            audit(request, "failed", 1, json!({})),
            audit(request, "in_progress", 2, json!({"actionType": "restart"})),
        ];
        posts[0].as_object_mut().expect("fields").remove("status");
        posts
    };
    let mut requests = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let request = format!("order-{order:?}").replace([' ', ',', '[', ']'], "");
        let posts = audits(&request);
        for at in order {
            service.post(Writer::Gateway, &posts[at]).await.audit_id();
        }
        requests.push(request);
    }
    // At once they may be of one flush.
    for n in 0..10 {
        let request = format!("together-{n}");
        let posts = audits(&request);
        // The first alone, or none: the flush meets an incident or opens it.
        let alone = n % 2;
        for post in &posts[1..1 + alone] {
            service.post(Writer::Gateway, post).await.audit_id();
        }
        let rest = posts.iter().enumerate().filter(|(at, _)| !(1..1 + alone).contains(at));
        join_all(rest.map(|(_, post)| service.post(Writer::Gateway, post))).await;
        requests.push(request);
    }
    for request in &requests {
        let filter = format!("remediation_request_id={request}");
        let failed = vec![(json!("scale"), [json!(0), json!(1), json!(0)])];
        assert_eq!(attempts_of(&service, &filter).await, failed, "{request}");
    }
    // What is stated behind the end is of the next attempt, also while that has not begun.
    let completed = vec![(json!("scale"), [json!(1), json!(0), json!(0)])];
    let mut lone = audit("kept", "completed", 5, json!({"actionType": "restart"}));
    lone.as_object_mut().expect("fields").remove("status");
    for post in [
        audit("kept", "completed", 0, json!({"actionType": "scale"})),
        lone,
        audit("kept", "in_progress", 6, json!({})),
    ] {
        service.post(Writer::Gateway, &post).await.audit_id();
        assert_eq!(attempts_of(&service, "namespace=kept").await, completed, "{post}");
    }
    // The action comes behind its end, and late.
    let mut lone = audit("late", "completed", 5, json!({"actionType": "restart"}));
    lone.as_object_mut().expect("fields").remove("status");
    let mut late = audit("late", "completed", 0, json!({"actionType": "scale"}));
    late.as_object_mut().expect("fields").remove("status");
    for (post, action) in
        [(audit("late", "completed", 1, json!({})), json!(null)), (lone, json!(null)), (late, json!("scale"))]
    {
        service.post(Writer::Gateway, &post).await.audit_id();
        let found = attempts_of(&service, "namespace=late").await;
        assert_eq!(found, [(action, [json!(1), json!(0), json!(0)])], "{post}");
    }
}

/// An attempt without a time of its execution ended when its status came, and not when the incident began.
#[tokio::test]
async fn an_attempt_ends_when_its_status_came() {
    let (service, _database) = Service::start().await;
    for executed in [true, false] {
        let request = format!("ended-{executed}");
        let time = |hour: u32| json!(format!("{}T{hour}:00:00Z", date_ago(20)));
        let mut posts = [
            audit(&request, "pending", 0, json!({"createdAt": time(10)})),
            audit(&request, "completed", 0, json!({"createdAt": time(16)})),
            audit(&format!("{request}-again"), "pending", 0, json!({"createdAt": time(12), "namespace": request})),
        ];
        if executed {
            posts[1]["executedAt"] = time(16);
        }
        for post in &posts {
            service.post(Writer::Gateway, post).await.audit_id();
        }
        let filter = format!("namespace={request}");
        assert_eq!(attempts_of(&service, &filter).await[0].1, [1, 0, 0].map(Value::from), "{request}");
        // It comes back within a day of its end, but not of its beginning.
        let again = json!({"createdAt": format!("{}T14:00:00Z", date_ago(19)), "namespace": request});
        service.post(Writer::Gateway, &audit(&format!("{request}-later"), "pending", 0, again)).await.audit_id();
        assert_eq!(attempts_of(&service, &filter).await[0].1, [0, 0, 1].map(Value::from), "{request}");
        service
            .post(Writer::Gateway, &audit(&request, "in_progress", 0, json!({"createdAt": time(17)})))
            .await
            .audit_id();
        assert_eq!(attempts_of(&service, &filter).await[0].1, [0, 0, 1].map(Value::from), "{request}");
    }
}

/// Of two audits of one time and progress the one with the greater id is the later.
#[tokio::test]
async fn ties_are_broken_by_the_id() {
    let (service, _database) = Service::start().await;
    for n in 0..40 {
        let request = format!("tie-{n}");
        let mut ids = Vec::new();
        for status in ["completed", "failed"] {
            let posted = service.post(Writer::Gateway, &audit(&request, status, 0, json!({"reasoning": status}))).await;
            ids.push((posted.audit_id(), status));
        }
        ids.sort_unstable();
        let incident = service.incident_of(&request).await;
        assert_eq!(incident["execution_status"], ids[1].1, "{ids:?}");
        let filter = format!("namespace={request}");
        let before = attempts_of(&service, &filter).await;
        service.post(Writer::Gateway, &audit(&request, "in_progress", 1, json!({}))).await.audit_id();
        assert_eq!(attempts_of(&service, &filter).await, before, "{ids:?}");
    }
}
