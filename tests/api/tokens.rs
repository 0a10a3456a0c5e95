//! Tokens that the Kubernetes API reviews. The tests have an API server of their own, over HTTPS.

use crate::support::api_server::{ApiServer, DEFAULT_AUDIENCE, Mode, forged_token, good_token, token};
use crate::support::certificates::Authority;
use crate::support::{Answer, Service, Writer, data_storage, ended, eventually, gateway_audit, server};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

async fn start(api: &ApiServer, more: &[(&str, &str)]) -> Service {
    let database = server().database().await;
    let kubeconfig = api.kubeconfig.to_str().expect("a path");
    let mut settings = vec![
        ("AUTH_MODE", "kubernetes"),
        ("KUBECONFIG", kubeconfig),
        ("RATE_LIMIT_RPS", "100000"),
        ("TOKEN_REVIEW_RPS_PER_PEER", "100000"),
    ];
    settings.extend(more);
    let service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    service
}

async fn post(service: &Service, token: &str, path: &str) -> Answer {
    let body = match path {
        "workflow" => json!({"workflowID": "wf", "stepName": "s", "stepStatus": "completed"}),
        _ => gateway_audit("rr"),
    };
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let path = format!("/api/v1/audit/{path}");
    service.send(reqwest::Method::POST, &path, &headers, Some(body.to_string().as_bytes())).await
}

async fn get(service: &Service, token: Option<&str>) -> u16 {
    let token = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    service.send(reqwest::Method::GET, "/api/v1/incidents", &headers, None).await.status.as_u16()
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Five identities, two kinds of audit, four kinds of token, by lists and by SubjectAccessReview.
#[tokio::test]
async fn the_matrix() {
    let api = ApiServer::start();
    for (mode, audience) in [("list", None), ("rbac", Some("data-storage"))] {
        let mut settings = vec![("AUTHZ_MODE", mode)];
        settings.extend(audience.map(|audience| ("TOKEN_AUDIENCES", audience)));
        let service = start(&api, &settings).await;
        let audience = audience.unwrap_or(DEFAULT_AUDIENCE);
        for writer in Writer::ALL {
            let account = writer.account();
            for (path, may) in [
                ("remediation", !matches!(writer, Writer::Workflow | Writer::Stranger)),
                ("workflow", writer == Writer::Workflow),
            ] {
                let good = post(&service, &token(account, now() + 60, audience), path).await;
                assert_eq!(good.status, if may { 201 } else { 403 }, "{mode} {account} {path}: {}", good.text);
                for (kind, token) in [
                    ("expired", token(account, now() - 60, audience)),
                    ("wrong audience", token(account, now() + 60, "somebody-else")),
                    ("unknown", format!("{}x", token(account, now() + 60, audience))),
                    ("opaque", "no-token-of-ours".to_owned()),
                ] {
                    let answer = post(&service, &token, path).await;
                    assert_eq!(answer.status, 401, "{mode} {account} {path} {kind}: {}", answer.text);
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                    assert!(!answer.text.contains(&token));
                }
            }
        }
        assert!((api.access_reviews() > 0) == (mode == "rbac"));
        let log = service.log();
        assert!(!log.iter().any(|line| line.to_string().contains("eyJ")), "a token is in the log");
    }
}

#[tokio::test]
async fn what_is_not_shaped_like_a_token_costs_no_review() {
    let api = ApiServer::start();
    let service = start(&api, &[]).await;
    for header in ["Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer \"quoted\"", "Bearer a,b", "token"] {
        let headers = [("authorization", header), ("content-type", "application/json")];
        let answer = service.send(reqwest::Method::POST, "/api/v1/audit/remediation", &headers, Some(b"{}")).await;
        assert_eq!(answer.status, 401, "{header}");
    }
    assert_eq!(api.token_reviews(), 0);
}

#[tokio::test]
async fn simultaneous_checks_of_one_token_are_one_review() {
    let api = ApiServer::start();
    let service = start(&api, &[("TOKEN_REVIEW_RPS_PER_PEER", "20"), ("AUTHZ_MODE", "rbac")]).await;
    api.set(Mode::Delay(Duration::from_millis(300)));
    let token = good_token(Writer::Gateway);
    let answers = join_all((0..200).map(|_| post(&service, &token, "remediation"))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{:?}", answers.iter().find(|a| a.status != 201));
    assert_eq!((api.token_reviews(), api.access_reviews()), (1, 1));
}

#[tokio::test]
async fn verdicts_are_kept_for_their_time_and_never_past_the_tokens_own() {
    let api = ApiServer::start();
    let times = [("TOKEN_CACHE_TTL", "30s"), ("TOKEN_CACHE_NEGATIVE_TTL", "4s")];
    let service = start(&api, &times).await;
    // Long enough for the four posts on a slow machine, and much shorter than the cache's time.
    let (long, short) = (good_token(Writer::Gateway), token("gateway-sa", now() + 6, DEFAULT_AUDIENCE));
    for token in [&long, &short, &long, &short] {
        assert_eq!(post(&service, token, "remediation").await.status, 201);
    }
    assert_eq!(api.token_reviews(), 2);
    eventually("the short one ends", async || {
        (post(&service, &short, "remediation").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(api.token_reviews(), 3);
    assert_eq!(post(&service, &short, "remediation").await.status, 401);
    assert_eq!(api.token_reviews(), 3, "a refusal is remembered");
    eventually("a refusal is asked about again", async || {
        post(&service, &short, "remediation").await;
        (api.token_reviews() > 3).then_some(())
    })
    .await;
    assert_eq!(post(&service, &long, "remediation").await.status, 201);
}

#[tokio::test]
async fn made_up_tokens_drown_nobody() {
    let api = ApiServer::start();
    let service = start(&api, &[("TOKEN_REVIEW_RPS_PER_PEER", "20")]).await;
    let good = good_token(Writer::Gateway);
    assert_eq!(post(&service, &good, "remediation").await.status, 201);
    let memory = || service.memory_kib();
    let (before, started) = (memory(), Instant::now());
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    let mut flood = futures_util::stream::iter(0..20_000)
        .map(|n| {
            let (service, good) = (&service, &good);
            async move {
                if n % 1000 == 0 {
                    assert_eq!(post(service, good, "remediation").await.status, 201);
                }
                let made_up = token("gateway-sa", n, "made-up");
                post(service, &made_up, "remediation").await
            }
        })
        .buffer_unordered(32);
    while let Some(answer) = flood.next().await {
        if answer.status == 429 {
            assert_eq!(answer.json()["error"], "rate_limit_exceeded");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!(answer.header("ratelimit-policy").is_some() && answer.header("ratelimit").is_some());
        }
        *statuses.entry(answer.status.as_u16()).or_default() += 1;
    }
    let seconds = started.elapsed().as_secs() as usize + 1;
    assert!(statuses.keys().all(|status| [401, 429].contains(status)), "{statuses:?}");
    let reviews = api.token_reviews();
    assert!(reviews <= 2 + 20 * (seconds + 1), "{reviews} reviews in {seconds} s");
    assert!(memory() < before + 16 * 1024, "{before} KiB grew to {} KiB", memory());
}

/// The answer is 503: never a 401, and never a success. The tokens that the cache knows go on working.
#[tokio::test]
async fn an_api_server_that_fails() {
    let api = ApiServer::start();
    let service = start(&api, &[]).await;
    let known = good_token(Writer::Gateway);
    assert_eq!(post(&service, &known, "remediation").await.status, 201);
    for mode in [Mode::Fail(500), Mode::Fail(403), Mode::Fail(429), Mode::Hang] {
        api.set(mode);
        let before = api.token_reviews();
        let answer =
            post(&service, &token("aianalysis-controller-sa", now() + 77, DEFAULT_AUDIENCE), "remediation").await;
        assert_eq!(answer.status, 503, "{mode:?}: {}", answer.text);
        assert!(answer.header("retry-after").is_some());
        let tries = if mode == Mode::Fail(403) { 1 } else { 2 };
        assert_eq!(api.token_reviews() - before, tries, "{mode:?}");
        assert_eq!(post(&service, &known, "remediation").await.status, 201, "{mode:?}");
        assert_eq!(get(&service, None).await, 200);
    }
    api.set(Mode::Answer);
    let answer = post(&service, &token("aianalysis-controller-sa", now() + 77, DEFAULT_AUDIENCE), "remediation").await;
    assert_eq!(answer.status, 201, "no verdict was remembered as one");
}

/// Health says what requests meet, and what they would meet; and tells a missing right from a server that is away.
#[tokio::test]
async fn health_knows_the_api_server() {
    let api = ApiServer::start();
    let service = start(&api, &[("AUTHZ_MODE", "rbac")]).await;
    let part = async || service.read("/health").await["parts"]["kubernetes_api"].clone();
    let becomes = async |state: &str| {
        eventually(state, async || Some(part().await).filter(|part| part["state"] == state)).await;
    };
    becomes("up").await;
    let reviews = api.token_reviews();
    assert_eq!(reviews, 0, "it was asked whether reviews are allowed, and made none");
    // Without a request.
    api.set(Mode::Forbid);
    becomes("refused").await;
    let health = service.read("/health").await;
    assert_eq!(health["status"], "degraded");
    let reason = health["parts"]["kubernetes_api"]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("tokenreviews") && reason.contains("system:auth-delegator"), "{reason}");
    let line = service.logged("the Kubernetes API refuses this service").await;
    assert_eq!((line["level"].as_str(), line["why"].as_str()), (Some("ERROR"), Some(&*reason)));
    let answer = post(&service, &good_token(Writer::Gateway), "remediation").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["detail"]),
        (503, &json!("the Kubernetes API refuses this service"))
    );
    api.set(Mode::Answer);
    becomes("up").await;
    // By its requests alone: this server says nothing of rights.
    api.set(Mode::Fail(500));
    let answer = post(&service, &good_token(Writer::Gateway), "remediation").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["detail"]), (503, &json!("the Kubernetes API does not answer")));
    becomes("down").await;
    api.set(Mode::Answer);
    becomes("up").await;
    drop(api);
    becomes("down").await;
    assert_eq!(service.get("/health/ready").await.status, 200, "reads need no API server");
}

#[tokio::test]
async fn the_file_of_an_authority_that_changes_is_taken_up() {
    let api = ApiServer::start();
    let other = Authority::new("cluster");
    let file = other.folder().join("authority.pem");
    std::fs::write(&file, other.pem()).expect("written");
    let config = api.kubeconfig_with_file(&file);
    let service = start(&api, &[("KUBECONFIG", config.to_str().expect("a path"))]).await;
    assert_eq!(post(&service, &good_token(Writer::Gateway), "remediation").await.status, 503);
    std::fs::write(&file, "no certificate").expect("written");
    service.logged("the authority of the API server is not taken up").await;
    std::fs::write(&file, api.authority().pem()).expect("written");
    eventually("it is known", async || {
        (post(&service, &good_token(Writer::Gateway), "remediation").await.status == 201).then_some(())
    })
    .await;
}

/// The API server accepts a token for some seconds behind its end: that costs no review for each request, and its writer is no stranger.
#[tokio::test]
async fn a_token_behind_its_end() {
    let api = ApiServer::start();
    api.set_leeway(3600);
    let service = start(&api, &[("TOKEN_REVIEW_RPS_PER_PEER", "1")]).await;
    let late = token("gateway-sa", now() - 1, DEFAULT_AUDIENCE);
    for _ in 0..50 {
        let answer = post(&service, &late, "remediation").await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    assert!(api.token_reviews() < 25, "{} reviews of 50 requests", api.token_reviews());
    api.set_leeway(0);
    eventually("it ends", async || (post(&service, &late, "remediation").await.status == 401).then_some(())).await;
}

/// Behind one address: strangers, whose tokens use up the limit of the address, and writers that come with new tokens.
#[tokio::test]
async fn a_flood_from_the_same_address_keeps_no_known_writer_out() {
    let api = ApiServer::start();
    let service = start(&api, &[("TOKEN_REVIEW_RPS_PER_PEER", "5"), ("TOKEN_CACHE_TTL", "1s")]).await;
    let first = good_token(Writer::Gateway);
    assert_eq!(post(&service, &first, "remediation").await.status, 201);
    let (is_over, refused) = (Cell::new(false), Cell::new(0));
    let flood = async {
        for n in 0.. {
            if is_over.get() {
                break;
            }
            let made_up = forged_token("somebody-else", now() + 1000 + n, DEFAULT_AUDIENCE);
            let status = post(&service, &made_up, "remediation").await.status;
            refused.set(refused.get() + usize::from(status == 429));
        }
    };
    let writer = async {
        eventually("the address has used up its limit", async || (refused.get() > 20).then_some(())).await;
        for n in 0..4 {
            let renewed = token("gateway-sa", now() + 2000 + n, DEFAULT_AUDIENCE);
            assert_eq!(post(&service, &renewed, "remediation").await.status, 201, "{n}");
        }
        // The verdict on its first token is forgotten every second.
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            assert_eq!(post(&service, &first, "remediation").await.status, 201);
        }
        is_over.set(true);
    };
    tokio::join!(flood, writer);
}

#[tokio::test]
async fn an_api_server_with_a_wrong_certificate_is_not_asked() {
    let (other, cluster, old) = (Authority::new("other"), Authority::new("cluster"), Authority::new("cluster"));
    let (signed, expired) = (cluster.sign("127.0.0.1"), old.sign_expired("127.0.0.1"));
    let misnamed = Authority::new("cluster");
    let name = misnamed.sign("elsewhere.example");
    for (api, words) in [
        (ApiServer::start_with(cluster, &signed, Some(&other)), "UnknownIssuer"),
        (ApiServer::start_with(old, &expired, None), "expired"),
        (ApiServer::start_with(misnamed, &name, None), "not valid for name"),
    ] {
        let service = start(&api, &[]).await;
        let answer = post(&service, &good_token(Writer::Gateway), "remediation").await;
        assert_eq!(answer.status, 503, "{words}: {}", answer.text);
        assert_eq!(api.token_reviews(), 0);
        let line = service.logged("the API server gave no verdict").await;
        assert!(line["fault"].as_str().expect("text").contains(words), "{line}");
    }
}

#[tokio::test]
async fn reads_behind_the_same_check() {
    let api = ApiServer::start();
    let readers = "system:serviceaccount:kubernaut-system:stranger-sa";
    for settings in [vec![("READERS", readers)], vec![("AUTHZ_MODE", "rbac")]] {
        let mut settings = settings;
        settings.push(("AUTH_READS", "true"));
        let service = start(&api, &settings).await;
        assert_eq!(get(&service, None).await, 401);
        assert_eq!(get(&service, Some(&good_token(Writer::Stranger))).await, 200);
        assert_eq!(get(&service, Some(&good_token(Writer::Gateway))).await, 403);
        for path in ["/api/v1/incidents/7", "/api/v1/audits/x", "/api/v1/workflows/x/steps"] {
            assert_eq!(service.get(path).await.status, 401, "{path}");
        }
        assert_eq!(service.get("/health").await.status, 200);
    }
}

#[tokio::test]
async fn check_says_what_works() {
    let api = ApiServer::start();
    let database = server().database().await;
    let check = async |mode: &str| {
        let mut check = data_storage(&database.url, &["check", "--authz-mode", mode, "--kubeconfig"]);
        ended(check.arg(&api.kubeconfig)).await
    };
    let (fine, text) = check("rbac").await;
    assert!(fine && text.contains("ok      Kubernetes API"), "{text}");
    assert_eq!((api.token_reviews(), api.access_reviews()), (1, 1));
    api.set(Mode::Fail(403));
    let (fine, text) = check("list").await;
    assert!(
        !fine && text.contains("FAILED  Kubernetes API: this service account may not create tokenreviews"),
        "{text}"
    );
}
