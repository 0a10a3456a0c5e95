//! What tells failures apart, words as people type them, hits that stand for others, and why an incident is no hit.

use crate::search::{embedded, id, remediate, search};
use crate::support::{Service, Writer, gateway_audit};
use serde_json::{Value, json};

fn requests(found: &Value) -> Vec<&str> {
    let data = found["data"].as_array().expect("data").iter();
    data.map(|hit| hit["remediation_request_id"].as_str().expect("text")).collect()
}

fn words(found: &Value) -> Vec<&str> {
    let why = found["data"][0]["why"].as_array().expect("why");
    let text = why.iter().find(|why| why["signal"] == "text").expect("text");
    text["terms"].as_array().expect("terms").iter().map(|term| term.as_str().expect("text")).collect()
}

async fn post(service: &Service, request: &str, reasoning: &str) {
    let mut body = gateway_audit(request);
    body["reasoning"] = json!(reasoning);
    service.post(Writer::AiAnalysis, &body).await.audit_id();
}

#[tokio::test]
async fn codes_typos_and_scripts_are_found_and_told() {
    let (service, database) = Service::start().await;
    for (request, reasoning) in [
        ("killed", "The container of the billing job exited with code 137 after its memory grew"),
        ("stopped", "The container of the billing job exited with code 143 after its memory grew"),
        ("ready", "The kubelet of the node is ready again after the drain"),
        ("not-ready", "The kubelet of the node is not ready after the drain"),
        ("pull", "Event ImagePullBackOff for the nightly runner"),
        ("cert", "The certificate of the ingress expired last night"),
        ("redis", "Redis evicted keys of the session cache"),
        ("chinese", "容器内存不足，被系统终止"),
        ("japanese", "ディスクの空き容量が不足しています"),
        ("russian", "На узле переполнен диск, поды вытеснены"),
    ] {
        post(&service, request, reasoning).await;
    }
    embedded(&service, &database, 10).await;
    for (query, request, written) in [
        ("billing job exit code 137", "killed", "137"),
        ("billing job 143", "stopped", "143"),
        ("kubelet not redy", "not-ready", "kubelet"),
        ("kubelet ready", "ready", "ready"),
        ("imagepullbackoff", "pull", "imagepullbackoff"),
        ("imagepulbackoff", "pull", "imagepulbackoff"),
        ("certifcate expird", "cert", "certifcate"),
        ("内存不足", "chinese", "内存"),
        ("容量不足", "japanese", "容量"),
        ("переполнены диски", "russian", "диски"),
    ] {
        let found = search(&service, json!({"query": query})).await;
        assert_eq!(requests(&found).first(), Some(&request), "{query}: {found}");
        let scores: Vec<f64> =
            found["data"].as_array().expect("data").iter().map(|hit| hit["score"].as_f64().expect("a score")).collect();
        assert!(scores.len() < 2 || scores[0] > scores[1], "{query} stands alone: {scores:?}");
        assert!(words(&found).contains(&written), "{query}: {:?}", words(&found));
    }
    let found = search(&service, json!({"query": "the billing job of the flamingo"})).await;
    assert_eq!((&found["coverage"]["query_terms"], &found["coverage"]["known_terms"]), (&json!(3), &json!(2)));
    let found = search(&service, json!({"query": "flamingo wading quietly"})).await;
    assert_eq!((found["data"].as_array().map(Vec::len), &found["coverage"]["known_terms"]), (Some(0), &json!(0)));
}

/// What more memory solved and what a longer grace solved are not summed up as one.
#[tokio::test]
async fn other_codes_and_far_hits_do_not_dilute_the_summary() {
    let (service, database) = Service::start().await;
    for n in 0..6 {
        for (code, action, other) in [("137", "raise_memory", "extend_grace"), ("143", "extend_grace", "raise_memory")]
        {
            let reasoning = format!("The worker pods exited with code {code} during the nightly batch");
            let fields = |action: &str| json!({"alertName": "WorkerExited", "actionType": action, "reasoning": reasoning, "targetResource": format!("job/{code}-{n}")});
            remediate(&service, &format!("{code}-{n}"), 60 + n, fields(action), "completed").await;
            remediate(&service, &format!("{code}-{n}-other"), n, fields(other), "failed").await;
        }
    }
    let far = json!({"alertName": "DiskFull", "actionType": "restart", "reasoning": "The nightly batch filled the disk of the archive"});
    remediate(&service, "far", 90, far, "completed").await;
    embedded(&service, &database, 25).await;
    let found = search(&service, json!({"query": "worker pods exit code 137 nightly batch", "limit": 30})).await;
    let worked: Vec<(&str, i64)> = found["summary"]["worked"]
        .as_array()
        .expect("worked")
        .iter()
        .map(|action| (action["action_type"].as_str().expect("text"), action["n"].as_i64().expect("a number")))
        .collect();
    assert_eq!(worked, [("raise_memory", 6)], "{}", found["summary"]);
    assert_eq!(found["summary"]["do_not_repeat"][0]["action_type"], "extend_grace");
    assert!(requests(&found).contains(&"143-0"), "it is still a hit");
}

#[tokio::test]
async fn one_hit_stands_for_those_that_are_alike() {
    let (service, database) = Service::start().await;
    for n in 0..12usize {
        let fields = json!({"alertName": if n % 2 == 0 { "PodOOMKilled" } else { "MemoryHigh" }, "actionType": "scale", "targetResource": format!("job/web-{n}"),
            "reasoning": format!("pod web-7d9f8b6c5-x{}lp9 was killed at its memory limit", char::from(b"bcdfghjklmnp"[n]))});
        remediate(&service, &format!("rr-{n}"), n as u64, fields, if n < 4 { "failed" } else { "completed" }).await;
    }
    let fields = json!({"reasoning": "a memory leak of the parser killed the job", "alertName": "JobFailed", "actionType": "rollback"});
    remediate(&service, "leak", 30, fields, "completed").await;
    embedded(&service, &database, 13).await;
    let query = "pods killed at their memory limit";
    let all = search(&service, json!({"query": query, "limit": 5})).await;
    assert_eq!(requests(&all).len(), 5);
    assert!(all["data"][0].get("alike").is_none() && all["data"][0].get("reasoning").is_none());
    for collapse in ["pattern", "alert"] {
        let found = search(&service, json!({"query": query, "collapse": collapse, "limit": 5})).await;
        assert_eq!(requests(&found).len(), 3, "{found}");
        assert_eq!(
            requests(&found)[..2].iter().filter(|request| ["rr-11", "rr-10"].contains(request)).count(),
            2,
            "the newest"
        );
        let (first, second) = (&found["data"][0], &found["data"][1]);
        assert_eq!(first["alike"].as_i64().zip(second["alike"].as_i64()), Some((6, 6)));
        assert_eq!(first["outcomes"], json!({"completed": 4, "failed": 2}));
        assert_eq!(found["summary"]["worked"][0]["n"], 12, "the summary counts all of them");
    }
    let found = search(&service, json!({"query": query, "include": "text", "limit": 1})).await;
    assert!(found["data"][0]["reasoning"].as_str().expect("text").contains("memory limit"), "{found}");
    let asked = id(&service, "leak").await;
    let path = format!("/api/v1/incidents/{asked}/similar?collapse=pattern&include=text&limit=1");
    let found = service.read(&path).await;
    assert!(found["data"][0]["alike"] == 6 && found["data"][0]["reasoning"].is_string(), "{found}");
    for (query, field) in [("collapse=namespace", "collapse"), ("include=all", "include"), ("explain=x", "explain")] {
        let answer = service.get(&format!("/api/v1/incidents/{asked}/similar?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].as_str()), (400, Some(field)));
    }
}

#[tokio::test]
async fn why_an_incident_is_a_hit_or_not() {
    let (service, database) = Service::start().await;
    for (request, reasoning, namespace) in [
        ("best", "the replication slot holds back the log of the database", "db"),
        ("next", "the replication of the database is late", "db"),
        ("elsewhere", "the replication slot holds back the log of the database", "other"),
        ("far", "the coffee machine leaks", "db"),
        ("silent", "", "db"),
    ] {
        let mut body = gateway_audit(request);
        (body["reasoning"], body["namespace"]) = (json!(reasoning), json!(namespace));
        if request == "silent" {
            body["alertName"] = json!("12345");
        }
        service.post(Writer::AiAnalysis, &body).await.audit_id();
    }
    embedded(&service, &database, 5).await;
    let explained = async |request: &str| {
        let asked = id(&service, request).await;
        let body = json!({"query": "replication slot holds the log", "filters": {"namespace": "db"}, "limit": 1, "explain": asked});
        let found = search(&service, body).await;
        assert_eq!(found["explain"]["id"], asked);
        assert_eq!(found["coverage"]["without_text"], 1);
        let coverage = |name: &str| found["coverage"][name].as_i64().expect("a number");
        assert_eq!(coverage("incidents"), coverage("searched") + coverage("pending") + coverage("without_text"));
        found["explain"].clone()
    };
    let best = explained("best").await;
    assert_eq!((&best["reason"], &best["rank"]), (&json!("hit"), &json!(1)));
    let next = explained("next").await;
    assert_eq!((&next["reason"], &next["rank"], &next["limit"]), (&json!("rank"), &json!(2), &json!(1)), "{next}");
    let elsewhere = explained("elsewhere").await;
    assert_eq!((&elsewhere["reason"], &elsewhere["filter"]), (&json!("filter"), &json!("namespace")));
    let far = explained("far").await;
    assert_eq!(far["reason"], "threshold", "{far}");
    assert!(far["similarity"].as_f64() < far["min_similarity"].as_f64());
    assert_eq!(explained("silent").await["reason"], "no_text");
    let nobody = search(&service, json!({"query": "replication", "explain": 999_999})).await;
    assert_eq!(nobody["explain"], json!({"id": 999_999, "reason": "not_found"}));
}

/// The report of an executor names a workload and has no text. What else happened to the workload is no answer, nor is it in the summary.
#[tokio::test]
async fn a_shared_workload_is_no_shared_failure() {
    let (service, database) = Service::start().await;
    let told = [
        (
            "killed",
            "checkout",
            "checkout exits with code 137 after each start: its limit is too low",
            "increase_memory_limit",
        ),
        (
            "elsewhere",
            "search",
            "search exits with code 137 after each start: its limit is too low",
            "increase_memory_limit",
        ),
        ("slow", "checkout", "the queue of database connections grows without bound", "scale"),
        ("image", "checkout", "the tag is not in the registry", "rollback"),
    ];
    for (request, app, reasoning, action) in told {
        post(&service, request, reasoning).await;
        let report = json!({"remediationRequestID": request, "actionType": action, "status": "completed",
            "targetResource": format!("deployment/{app}"), "executedAt": crate::support::now()});
        service.post(Writer::Executor, &report).await.audit_id();
    }
    embedded(&service, &database, 4).await;
    let found = search(&service, json!({"query": "checkout is killed with exit code 137"})).await;
    assert_eq!(requests(&found)[..2], ["killed", "elsewhere"], "{found}");
    assert!(words(&found).contains(&"137") && words(&found).contains(&"checkout"), "{found}");
    let worked: Vec<&str> = found["summary"]["worked"]
        .as_array()
        .expect("actions")
        .iter()
        .map(|action| action["action_type"].as_str().expect("text"))
        .collect();
    assert_eq!(worked, ["increase_memory_limit"], "{found}");
    // By its workload alone an incident is found still.
    let found = search(&service, json!({"query": "checkout"})).await;
    let mut all = requests(&found);
    all.sort_unstable();
    assert_eq!(all, ["image", "killed", "slow"], "{found}");
}
