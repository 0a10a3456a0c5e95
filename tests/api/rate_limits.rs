//! Each identity has a limit of its own. Reads without a token have a limit only if it is set.

use crate::support::{Service, Writer, eventually, gateway_audit};
use futures_util::future::join_all;
use std::time::Instant;

/// Requests that are sent at once: so many more than the limits below that some are over the limit on a slow machine too.
const MANY: usize = 100;

#[tokio::test]
async fn one_identity_at_its_limit_while_another_feels_nothing() {
    let (service, _database) = Service::start_with(&[("RATE_LIMIT_RPS", "5")]).await;
    let started = Instant::now();
    let post = async |writer, request: String| service.post(writer, &gateway_audit(&request)).await;
    let posts = join_all((0..MANY).map(|n| post(Writer::Gateway, format!("rr-{n}"))));
    let beside = join_all((0..5).map(|n| post(Writer::AiAnalysis, format!("rr-ai-{n}"))));
    let (answers, beside) = tokio::join!(posts, beside);
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    check_passed(passed.len(), 5, started);
    for answer in refused {
        assert_eq!(answer.status, 429, "{}", answer.text);
        assert_eq!(answer.json()["error"], "rate_limit_exceeded");
        assert_eq!(answer.json()["message"], "Too many requests. Limit: 5 req/s per service");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=1"));
        assert!(answer.header("ratelimit").expect("there").starts_with("\"default\";r=0;t="));
    }
    for answer in beside {
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=1"));
    }
    // The limit is checked before rights and body: an identity without rights is counted too, and the answer to a
    // refused request has the headers too.
    let answer = service.post(Writer::Stranger, &gateway_audit("rr")).await;
    assert_eq!((answer.status.as_u16(), answer.header("ratelimit").is_some()), (403, true));
    eventually("the limit is over", async || {
        (service.post(Writer::Gateway, &gateway_audit("rr-late")).await.status == 201).then_some(())
    })
    .await;
    let reads = join_all((0..MANY).map(|_| service.get("/api/v1/incidents"))).await;
    assert!(reads.iter().all(|answer| answer.status == 200), "open reads have no limit");
}

/// Of [`MANY`] requests a burst of one second has passed, and no more than the limit gave back since `started`.
fn check_passed(passed: usize, per_second: usize, started: Instant) {
    let given_back = (started.elapsed().as_secs_f64() * per_second as f64).ceil() as usize; // a few hundred
    assert!((per_second..=per_second + given_back).contains(&passed), "{passed}, {given_back} of them given back");
    assert!(passed < MANY, "nothing was over the limit");
}

#[tokio::test]
async fn open_reads_by_peer_where_it_is_set() {
    let (service, _database) = Service::start_with(&[("READ_RATE_LIMIT_RPS", "5")]).await;
    let started = Instant::now();
    let answers = join_all((0..MANY).map(|_| service.get("/api/v1/incidents"))).await;
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    check_passed(passed.len(), 5, started);
    assert!(refused.iter().all(|answer| answer.status == 429));
    assert_eq!(service.get("/health/live").await.status, 200);
}

/// The service reads the token file again when it changes. If the new file is faulty, the old tokens stay.
#[tokio::test]
async fn tokens_of_a_file_change_without_a_restart() {
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    let user = "system:serviceaccount:kubernaut-system:gateway-sa";
    let write = |text: &str| std::fs::write(tokens.path(), text).expect("written");
    write(&format!("old,{user},1"));
    let file = tokens.path().to_str().expect("a path");
    let (service, _database) = Service::start_with(&[("AUTH_TOKENS_FILE", file)]).await;
    let post = async |token: &str| {
        let token = format!("Bearer {token}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = gateway_audit("rr").to_string();
        let path = "/api/v1/audit/remediation";
        service.send(reqwest::Method::POST, path, &headers, Some(body.as_bytes())).await.status.as_u16()
    };
    assert_eq!((post("old").await, post("new").await), (201, 401));
    write(&format!("new,{user},1"));
    service.logged("tokens reloaded").await;
    assert_eq!((post("old").await, post("new").await), (401, 201));
    write("nonsense");
    service.logged("the token file is not taken up").await;
    assert_eq!(post("new").await, 201);
}
