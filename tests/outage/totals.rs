//! Totals under random writes, changes of what is counted and replays, in any order, through two replicas. `TORTURE_SECONDS` sets
//! for how long, and a slow machine takes longer.

use crate::support::{Service, Writer, data_storage, server, succeeds};
use chrono::{TimeDelta, Utc};
use fastrand::Rng;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 32;
const REQUESTS: u32 = 2_000;
/// So many posts at least: one in five is a replay from the hundredth on.
const LEAST: u64 = 1_000;

fn seconds() -> u64 {
    std::env::var("TORTURE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Any audit of any request: it may be older or younger than all others, and say another alert, severity, action or place.
fn audit(random: &mut Rng) -> Value {
    let created = Utc::now() - TimeDelta::milliseconds(random.i64(0..40 * 86_400_000));
    let mut body = json!({
        "remediationRequestID": format!("rr-{}", random.u32(0..REQUESTS)),
        "alertName": format!("Alert{}", random.u32(0..5)),
        "namespace": format!("ns-{}", random.u32(0..4)),
        "cluster": format!("c-{}", random.u32(0..3)),
        "createdAt": created.to_rfc3339(),
    });
    if random.bool() {
        body["severity"] = json!(["critical", "high", "medium", "low"][random.usize(0..4)]);
    }
    if random.bool() {
        body["actionType"] = json!(["scale", "restart", "rollback"][random.usize(0..3)]);
        body["status"] = json!(["completed", "failed", "executing"][random.usize(0..3)]);
    }
    if random.u8(0..4) == 0 {
        // An execution report, which says nothing of the place.
        body["executedAt"] = body["createdAt"].clone();
        let fields = body.as_object_mut().expect("an object");
        fields.retain(|name, _| !matches!(name.as_str(), "alertName" | "namespace" | "cluster"));
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_with_counts_beside_random_traffic() {
    let database = server().database().await;
    let replicas = join_all((0..2).map(|_| Service::on(&database.url, &[]))).await;
    join_all(replicas.iter().map(|replica| replica.logged("ready"))).await;
    let until = Instant::now() + Duration::from_secs(seconds());
    let (posted, replays, checks) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0u64));
    let earlier = RefCell::new(Vec::<Value>::new());
    let clients = join_all((0..CLIENTS).map(async |seed| {
        let mut random = Rng::with_seed(seed);
        while Instant::now() < until || posted.get() < LEAST {
            let known = earlier.borrow().len();
            let again = known > 100 && random.u8(0..5) == 0;
            let body: Value = if again { earlier.borrow()[random.usize(0..known)].clone() } else { audit(&mut random) };
            let answer = replicas[random.usize(0..2)].post(Writer::AiAnalysis, &body).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            posted.set(posted.get() + 1);
            replays.set(replays.get() + u64::from(answer.is_replay()));
            if !again && known < 10_000 {
                earlier.borrow_mut().push(body);
            }
        }
    }));
    let checker = async {
        while Instant::now() < until || checks.get() == 0 {
            check(&database.url).await;
            checks.set(checks.get() + 1);
        }
    };
    join(clients, checker).await;
    check(&database.url).await;
    eprintln!("{} posts, {} of them replays, {} checks beside them", posted.get(), replays.get(), checks.get());
    assert!(replays.get() > 0);
    let incidents = database.number("SELECT count(*) FROM resource_action_traces").await;
    let requests = database.number("SELECT count(DISTINCT remediation_request_id) FROM remediation_audit").await;
    assert_eq!(incidents, requests);
    let total = &replicas[0].read("/api/v1/incidents?limit=1").await["pagination"]["total"];
    assert_eq!(total, incidents);
}

/// `check --totals` reads incidents and totals in one snapshot, whatever goes on beside it.
async fn check(url: &str) {
    succeeds(&mut data_storage(url, &["check", "--totals"])).await;
}
