//! Similar incidents: found by their words, filtered inside the search, with reasons and outcomes.

use crate::support::{Database, Service, Writer, date_ago, eventually, gateway_audit, server};
use serde_json::{Value, json};

/// The day on which [`remediate`] begins to count minutes, in days before today.
pub const FIRST_DAY: u64 = 20;

/// An analysis, and the execution that followed it five seconds later. Minutes count from ten o'clock of the first day; a day has 60.
pub async fn remediate(service: &Service, request: &str, minute: u64, fields: Value, status: &str) {
    let day = date_ago(FIRST_DAY - minute / 60);
    let time = |second: u32| format!("{day}T10:{:02}:{second:02}Z", minute % 60);
    let mut body =
        json!({"remediationRequestID": request, "namespace": "shop", "cluster": "c-1", "createdAt": time(0)});
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    service.post(Writer::AiAnalysis, &body).await.audit_id();
    let report =
        json!({"remediationRequestID": request, "status": status, "executedAt": time(5), "duration": 1_000_000_000});
    service.post(Writer::Executor, &report).await.audit_id();
}

/// Waits until searches see this many incidents, with all that their audits say of them.
pub async fn embedded(service: &Service, database: &Database, incidents: i64) {
    eventually("all are searchable", async || {
        let found = search(service, json!({"query": "anything"})).await;
        (found["coverage"]["incidents"] == incidents && found["coverage"]["pending"] == 0).then_some(())
    })
    .await;
    eventually("an empty outbox", async || {
        // The facts of an incident are copied for each audit, also for one without text; then its row is deleted.
        (database.number("SELECT count(*) FROM embedding_outbox").await == 0).then_some(())
    })
    .await;
}

pub async fn search(service: &Service, body: Value) -> Value {
    let answer = service.search(&body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.json()
}

fn requests(found: &Value) -> Vec<&str> {
    found["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|hit| hit["remediation_request_id"].as_str().expect("text"))
        .collect()
}

pub async fn id(service: &Service, request: &str) -> i64 {
    service.incident_of(request).await["id"].as_i64().expect("an id")
}

const MEMORY: &str = "The pods of the checkout deployment were OOMKilled: memory limit too low, add a replica";
const CERTIFICATE: &str = "The ingress certificate expires in two days, renew it with the issuer";

async fn fill(service: &Service, database: &Database) {
    for n in 0..6 {
        let fields = json!({"alertName": "KubePodOOMKilled", "actionType": "scale", "severity": "high", "reasoning": MEMORY,
            "targetResource": format!("deployment/checkout-{n}")});
        remediate(service, &format!("mem-{n}"), n, fields, if n == 0 { "failed" } else { "completed" }).await;
    }
    for n in 0..3 {
        let fields = json!({"alertName": "KubePodOOMKilled", "actionType": "restart", "severity": "low",
            "reasoning": "Restarting the OOMKilled pods does not help, memory fills again", "cluster": "c-2",
            "targetResource": format!("deployment/cart-{n}")});
        remediate(service, &format!("restart-{n}"), 200 + n, fields, "failed").await;
    }
    let fields = json!({"alertName": "CertificateExpiringSoon", "actionType": "renew", "severity": "critical", "reasoning": CERTIFICATE});
    remediate(service, "cert", 300, fields, "completed").await;
    embedded(service, database, 10).await;
}

#[tokio::test]
async fn what_is_alike_why_and_what_worked() {
    let (service, database) = Service::start().await;
    fill(&service, &database).await;
    let found = search(&service, json!({"query": "containers killed because memory ran out, OOMKilled"})).await;
    let hits = found["data"].as_array().expect("data");
    assert_eq!(hits.len(), 9, "not the certificate: {found}");
    for pair in hits.windows(2) {
        assert!(pair[0]["score"].as_f64() >= pair[1]["score"].as_f64());
    }
    let first = &hits[0];
    for name in
        ["id", "alert_name", "similarity", "score", "outcome", "why", "execution_status", "duration", "error_message"]
    {
        assert!(first.get(name).is_some(), "{name}");
    }
    let terms = first["why"].as_array().expect("reasons").iter().find(|why| why["signal"] == "text").expect("text");
    assert!(terms["terms"].as_array().expect("terms").iter().any(|term| term == "OOMKilled"), "{terms}");
    assert_eq!(
        found["summary"]["worked"][0],
        json!({"action_type": "scale", "completed": 5, "failed": 1, "recurred": 0, "n": 6,
        "success_rate": 0.8333, "interval": [0.4365, 0.9699]})
    );
    assert_eq!(found["summary"]["do_not_repeat"][0]["action_type"], "restart");
    assert_eq!(found["summary"]["do_not_repeat"][0]["failed"], 3);
    assert_eq!(found["coverage"]["exhaustive"], true);
    assert_eq!(found["coverage"]["embedder"], "builtin-2");
    assert!(found["coverage"]["min_similarity"].as_f64() > Some(0.0));

    // If nothing is similar enough, the list is empty.
    let nothing = search(&service, json!({"query": "lunch menu of the canteen"})).await;
    assert_eq!(nothing["data"], json!([]));
    let nothing = search(&service, json!({"query": "12345 …"})).await;
    assert_eq!(nothing["data"], json!([]));
    // Limits and least similarity.
    assert_eq!(requests(&search(&service, json!({"query": MEMORY, "limit": 2})).await).len(), 2);
    let same = search(&service, json!({"query": MEMORY, "min_similarity": 0.6})).await;
    assert_eq!(requests(&same).len(), 6, "{same}");
    let all = search(&service, json!({"query": MEMORY, "min_similarity": 0})).await;
    assert_eq!(requests(&all).len(), 10);
}

#[tokio::test]
async fn incidents_like_one_that_is_known() {
    let (service, database) = Service::start().await;
    fill(&service, &database).await;
    let asked = id(&service, "mem-3").await;
    let found = service.read(&format!("/api/v1/incidents/{asked}/similar?limit=20")).await;
    assert_eq!(
        found["data"].as_array().map(Vec::len),
        Some(8),
        "itself is not among them, and each is there once: {found}"
    );
    assert!(!requests(&found).contains(&"mem-3"));
    assert_eq!(&requests(&found)[..5], ["mem-5", "mem-4", "mem-2", "mem-1", "mem-0"], "the newest of equals first");
    let why: Vec<&str> = found["data"][0]["why"]
        .as_array()
        .expect("why")
        .iter()
        .map(|why| why["signal"].as_str().expect("text"))
        .collect();
    assert_eq!(why, ["alert_name", "text", "place"]);
    // The same by POST.
    let posted = search(&service, json!({"incident_id": asked, "limit": 20})).await;
    assert_eq!(posted["data"], found["data"]);
    // With filters.
    for (query, count) in [
        ("severity=low", 3),
        ("status=failed", 4),
        ("cluster=c-2&action_type=restart", 3),
        ("namespace=nowhere", 0),
        (&format!("until={}T10:03:00Z", date_ago(FIRST_DAY)), 3),
        ("remediation_request_id=mem-1", 1),
    ] {
        let found = service.read(&format!("/api/v1/incidents/{asked}/similar?limit=20&{query}")).await;
        assert_eq!(found["data"].as_array().map(Vec::len), Some(count), "{query}: {found}");
        assert_eq!(found["coverage"]["exhaustive"], true);
    }
    // With `half_life`, every hit says by which factor its age lowers the score.
    let aged = service.read(&format!("/api/v1/incidents/{asked}/similar?limit=20&half_life=36500d")).await;
    let factor = |hit: &Value| {
        let why = hit["why"].as_array().expect("why");
        why.iter().find(|why| why["signal"] == "recency").expect("recency")["factor"].as_f64().expect("a number")
    };
    assert!(aged["data"].as_array().expect("data").iter().all(|hit| factor(hit) > 0.99 && factor(hit) < 1.0));
    assert_eq!(service.get("/api/v1/incidents/999999999/similar").await.status, 404);
    for (query, field) in [
        ("limit=0", "limit"),
        ("min_similarity=2", "min_similarity"),
        ("half_life=soon", "half_life"),
        ("as_of=now", "as_of"),
        ("severity=urgent", "severity"),
        ("colour=red", "colour"),
    ] {
        let answer = service.get(&format!("/api/v1/incidents/{asked}/similar?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{query}");
    }
    for (body, field) in [
        (json!({}), "query"),
        (json!({"query": "a", "filters": {"status": "done"}}), "filters.status"),
        (json!({"query": 7}), "query"),
    ] {
        let answer = service.search(&body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)), "{body}");
    }
}

/// Filters use the present value of a fact; with `as_of` they use the value of that time.
#[tokio::test]
async fn facts_that_change_and_the_past() {
    let (service, database) = Service::start().await;
    let fields =
        json!({"alertName": "DiskFull", "reasoning": "the volume of the database is full", "actionType": "expand"});
    remediate(&service, "disk", 1, fields, "executing").await;
    embedded(&service, &database, 1).await;
    let count = async |body: Value| requests(&search(&service, body).await).len();
    let by_status = |status: &str| json!({"query": "volume full", "filters": {"status": status}});
    assert_eq!(count(by_status("in_progress")).await, 1);
    let then = crate::support::now();
    let later = format!("{}T11:00:00Z", date_ago(FIRST_DAY));
    let done = json!({"remediationRequestID": "disk", "status": "completed", "executedAt": later});
    service.post(Writer::Executor, &done).await.audit_id();
    eventually("the new status", async || (count(by_status("completed")).await == 1).then_some(())).await;
    assert_eq!(count(by_status("in_progress")).await, 0);
    let mut past = by_status("in_progress");
    past["as_of"] = json!(then);
    assert_eq!(count(past.clone()).await, 1, "as it was");
    assert_eq!(search(&service, past).await["data"][0]["outcome"], "in_progress");
    let mut past = by_status("completed");
    past["as_of"] = json!(then);
    assert_eq!(count(past).await, 0);
    // After its own time, and before the service knew of it.
    let before = format!("{}T00:00:00Z", date_ago(1));
    assert_eq!(count(json!({"query": "volume full", "as_of": before})).await, 0, "before it was known");
}

/// A filter that fits one incident in a hundred still finds all of them.
#[tokio::test]
async fn a_rare_fit_is_found_among_many_copies() {
    let (service, database) = Service::start().await;
    let posts = (0..300).map(|n| {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["reasoning"] = json!(format!("pod web-7d9f8b6c5-x{n}2lp was killed, memory limit reached {n} times"));
        body["namespace"] = json!(if n % 100 == 7 { "rare" } else { "common" });
        let service = &service;
        async move { service.post(Writer::AiAnalysis, &body).await.audit_id() }
    });
    futures_util::future::join_all(posts).await;
    embedded(&service, &database, 300).await;
    let found =
        search(&service, json!({"query": "pod killed at its memory limit", "filters": {"namespace": "rare"}})).await;
    assert_eq!(requests(&found).len(), 3, "{found}");
    let found = search(&service, json!({"query": "pod killed at its memory limit", "limit": 100})).await;
    assert_eq!(requests(&found).len(), 100);
}

/// The search passes over patterns without an incident that fits, but not over one whose incident fits since a change.
#[tokio::test]
async fn a_fact_that_changes_opens_its_pattern_to_the_filter() {
    let (service, database) = Service::start().await;
    for (request, reasoning, status) in [
        ("rr-full", "the disk of the node is full of old images", "completed"),
        ("rr-ripens", "a replication slot holds back the log of the database", "executing"),
    ] {
        let mut body = gateway_audit(request);
        (body["reasoning"], body["status"]) = (json!(reasoning), json!(status));
        service.post(Writer::AiAnalysis, &body).await.audit_id();
    }
    embedded(&service, &database, 2).await;
    let query = |status: &str| json!({"query": "replication slot holds the log", "filters": {"status": status}});
    assert_eq!(requests(&search(&service, query("executing")).await), ["rr-ripens"]);
    assert!(!requests(&search(&service, query("completed")).await).contains(&"rr-ripens"));
    // A report without text, which makes no vector.
    let report =
        json!({"remediationRequestID": "rr-ripens", "status": "completed", "executedAt": crate::support::now()});
    service.post(Writer::Executor, &report).await.audit_id();
    eventually("the filter finds it", async || {
        let found = search(&service, query("completed")).await;
        (requests(&found).first() == Some(&"rr-ripens")).then_some(())
    })
    .await;
    // The facet bits decide this: without them the search passes over the pattern.
    let bits = "UPDATE embedding_pattern_words SET facets = 0::bit(512); UPDATE embedding_revisions SET revision = revision + 1";
    server().connect(&database.name).await.batch_execute(bits).await.expect("taken away");
    assert_eq!(requests(&search(&service, query("completed")).await), Vec::<&str>::new());
}

/// A service holds the patterns in memory, and knows each change by another service as soon as it is committed.
#[tokio::test]
async fn what_another_service_writes_is_known_at_once() {
    let (service, database) = Service::start().await;
    let client = server().connect(&database.name).await;
    let post = async |word: &str, text: &str| {
        let mut body = gateway_audit(word);
        (body["reasoning"], body["status"]) = (json!(text), json!("executing"));
        service.post(Writer::AiAnalysis, &body).await.audit_id();
    };
    let counted = async |rows: &str, expected: i64| {
        let sql = format!("SELECT FROM {rows} HAVING count(*) = {expected}");
        eventually(rows, async || client.query_opt(&sql, &[]).await.expect("a count").map(drop)).await;
    };
    post("kettle", "the kettle boils over").await;
    post("lantern", "the lantern has no oil").await;
    counted("audit_embeddings", 2).await;
    let other = Service::on(&database.url, &[]).await;
    other.logged("ready").await;
    let held = "datastorage_held_patterns";
    eventually("both are held", async || (other.metrics().await.get(held)? == &2.0).then_some(())).await;
    let first = async |text: &str, status: &str| {
        let found = search(&other, json!({"query": text, "filters": {"status": status}})).await;
        requests(&found).first().map(|request| (*request).to_owned())
    };
    assert_eq!(first("the lantern has no oil", "executing").await.as_deref(), Some("lantern"));
    // A changed fact opens a pattern to a filter. No pattern is new.
    assert_eq!(first("the kettle boils over", "completed").await, None);
    let done = json!({"remediationRequestID": "kettle", "status": "completed", "executedAt": crate::support::now()});
    service.post(Writer::Executor, &done).await.audit_id();
    counted("incident_facts WHERE execution_status = 'completed'", 1).await;
    assert_eq!(first("the kettle boils over", "completed").await.as_deref(), Some("kettle"));
    post("anvil", "an anvil fell from the shelf").await;
    counted("audit_embeddings", 3).await;
    assert_eq!(first("an anvil fell from the shelf", "executing").await.as_deref(), Some("anvil"));
    // As if the store came from an earlier backup, without the patterns.
    let gone = "DELETE FROM embedding_pattern_words; DELETE FROM embedding_terms; DELETE FROM embedding_revisions";
    client.batch_execute(gone).await.expect("gone");
    assert_eq!(first("an anvil fell from the shelf", "executing").await, None);
}

/// All copies of one text come first, newest first, however many there are. A short list is the beginning of a longer
/// one.
#[tokio::test]
async fn copies_come_before_what_is_less_alike() {
    let (service, database) = Service::start().await;
    let posts = (0..130).map(|n| {
        let mut body = gateway_audit(&format!("rr-{n}"));
        body["reasoning"] =
            json!(if n < 100 { "a wombat sleeps in the burrow" } else { "a wombat digs at night near the creek" });
        body["createdAt"] = json!(format!("{}T10:{:02}:00Z", date_ago(20 - n % 20), n % 60));
        let service = &service;
        async move { service.post(Writer::AiAnalysis, &body).await.audit_id() }
    });
    futures_util::future::join_all(posts).await;
    embedded(&service, &database, 130).await;
    let query = |limit: usize| json!({"query": "a wombat sleeps in the burrow", "limit": limit});
    let all = search(&service, query(100)).await;
    let scores: Vec<f64> =
        all["data"].as_array().expect("data").iter().map(|hit| hit["score"].as_f64().expect("a number")).collect();
    assert!(scores.len() == 100 && scores.iter().all(|score| *score == scores[0]), "{scores:?}");
    let times: Vec<&str> = all["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|hit| hit["action_timestamp"].as_str().expect("a time"))
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    for limit in [1, 10, 50, 60, 61, 99] {
        let fewer = search(&service, query(limit)).await;
        assert_eq!(requests(&fewer), requests(&all)[..limit]);
    }
}

/// Only searches fail while the vector store is away.
#[tokio::test]
async fn without_a_vector_store_searches_are_503_with_the_reason() {
    let (service, _database) = Service::start_with(&[("VECTOR_DATABASE_URL", &server().url("no_such_database"))]).await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    let answer = service.search(&json!({"query": "memory"})).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.json()["detail"], "the vector store does not answer");
    assert_eq!(service.get("/api/v1/incidents").await.status, 200);
    let (off, _database) = Service::start_with(&[("EMBEDDER", "off")]).await;
    let answer = off.search(&json!({"query": "memory"})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (503, Some("service_unavailable")));
}

/// An incident that fits is found, however many newer copies do not fit, also in the past. The incident that is asked
/// about is taken as it was then.
#[tokio::test]
async fn the_past_is_searched_as_deep_as_the_present() {
    let (service, database) = Service::start().await;
    let post = async |request: String, reasoning: &str, namespace: &str| {
        let mut body = gateway_audit(&request);
        (body["reasoning"], body["namespace"]) = (json!(reasoning), json!(namespace));
        service.post(Writer::AiAnalysis, &body).await.audit_id();
    };
    post("old".to_owned(), "zebra stampede", "rare").await;
    futures_util::future::join_all((0..400).map(|n| post(format!("rr-{n}"), "zebra stampede", "common"))).await;
    post("asked".to_owned(), "lynx prowls quietly", "rare").await;
    post("like-it".to_owned(), "lynx prowls quietly at night", "rare").await;
    embedded(&service, &database, 403).await;
    let then = crate::support::now();
    let body = json!({"query": "zebra stampede", "filters": {"namespace": "rare"}, "as_of": then});
    assert_eq!(requests(&search(&service, body).await), ["old"]);

    let asked = id(&service, "asked").await;
    let path = format!("/api/v1/incidents/{asked}/similar?limit=1&as_of={then}");
    // The score uses the rarity of words of today, also for the past.
    let hits = async || {
        let mut data = service.read(&path).await["data"].clone();
        let score = data[0].as_object_mut().and_then(|hit| hit.remove("score")?.as_f64());
        (data, score.expect("a score"))
    };
    let (before, score) = hits().await;
    assert_eq!(before[0]["remediation_request_id"], "like-it");
    post("asked".to_owned(), "moose antlers tangled", "common").await;
    embedded(&service, &database, 403).await;
    let (after, score_after) = hits().await;
    assert_eq!(after, before, "later audits do not count");
    assert!((score_after - score).abs() < 0.01, "{score_after} {score}");
    let never = format!("/api/v1/incidents/{asked}/similar?as_of={}T00:00:00Z", date_ago(1));
    assert_eq!(service.get(&never).await.status, 404);
    let nothing = search(&service, json!({"query": "mucatak gagadak"})).await;
    assert_eq!(nothing["data"], json!([]), "nothing in common is not alike");
}

/// The best hit is the same for every limit, when age decides and when words decide.
#[tokio::test]
async fn a_longer_list_begins_as_a_shorter_one() {
    let (service, database) = Service::start().await;
    let words = ["candle", "dagger", "ember", "fabric", "garden", "hammer", "island", "jacket", "kettle", "ladder"];
    let mut n = 0;
    for first in words {
        for second in words {
            let mut body = gateway_audit(&format!("old-{n}"));
            body["reasoning"] = json!(format!("platypus burrow {first} {second}"));
            body["createdAt"] = json!((chrono::Utc::now() - chrono::TimeDelta::days(25)).to_rfc3339());
            service.post(Writer::AiAnalysis, &body).await.audit_id();
            n += 1;
        }
    }
    let mut body = gateway_audit("new");
    body["reasoning"] = json!("platypus burrow mirror napkin orchard pencil quiver ribbon saddle");
    service.post(Writer::AiAnalysis, &body).await.audit_id();
    embedded(&service, &database, n + 1).await;
    for limit in [1, 10, 100] {
        let found = search(&service, json!({"query": "platypus burrow", "half_life": "1d", "limit": limit})).await;
        assert_eq!(requests(&found)[0], "new", "limit {limit}");
    }
    // Scores are rounded and fall with time: between two questions one of two that are nearly equal may become less.
    eventually("the same beginning", async || {
        let long = search(&service, json!({"query": "platypus burrow jacket", "limit": 60})).await;
        let short = search(&service, json!({"query": "platypus burrow jacket", "limit": 5})).await;
        (requests(&long)[..5] == requests(&short)[..]).then_some(())
    })
    .await;
}
