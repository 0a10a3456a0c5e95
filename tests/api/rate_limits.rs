//! Each identity has a limit of its own. Reads without a token have a limit only if it is set.

use crate::support::{Service, Writer, eventually, gateway_audit};
use futures_util::future::join_all;

#[tokio::test]
async fn one_identity_at_its_limit_while_another_feels_nothing() {
    let (service, _database) = Service::start_with(&[("RATE_LIMIT_RPS", "20")]).await;
    let posts = (0..60).map(|n| {
        let (service, body) = (&service, gateway_audit(&format!("rr-{n}")));
        async move { service.post(Writer::Gateway, &body).await }
    });
    let answers = join_all(posts).await;
    let passed = answers.iter().filter(|answer| answer.status == 201).count();
    // A burst of one second, and what the limit allowed again while the burst lasted.
    assert!((20..40).contains(&passed), "{passed}");
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    for answer in &refused {
        assert_eq!(answer.status, 429, "{}", answer.text);
        assert_eq!(answer.json()["error"], "rate_limit_exceeded");
        assert_eq!(answer.json()["message"], "Too many requests. Limit: 20 req/s per service");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=20;w=1"));
        assert!(answer.header("ratelimit").expect("there").starts_with("\"default\";r=0;t="));
    }
    for n in 0..10 {
        let answer = service.post(Writer::AiAnalysis, &gateway_audit(&format!("rr-ai-{n}"))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=20;w=1"));
    }
    // The limit is checked before rights and body: an identity without rights is counted too, and the answer to a
    // refused request has the headers too.
    let answer = service.post(Writer::Stranger, &gateway_audit("rr")).await;
    assert_eq!((answer.status.as_u16(), answer.header("ratelimit").is_some()), (403, true));
    eventually("the limit is over", async || {
        (service.post(Writer::Gateway, &gateway_audit("rr-late")).await.status == 201).then_some(())
    })
    .await;
    for _ in 0..60 {
        assert_eq!(service.get("/api/v1/incidents").await.status, 200);
    }
}

#[tokio::test]
async fn open_reads_by_peer_where_it_is_set() {
    let (service, _database) = Service::start_with(&[("READ_RATE_LIMIT_RPS", "10")]).await;
    let answers = join_all((0..30).map(|_| service.get("/api/v1/incidents"))).await;
    assert!(answers.iter().any(|answer| answer.status == 429));
    assert!(answers.iter().filter(|answer| answer.status == 200).count() >= 10);
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
