//! Busy is not away: what waits for somebody else's lock says nothing of the database.

use crate::support::{Service, Writer, eventually, gateway_audit, server};
use futures_util::future::join_all;
use serde_json::json;

/// How often the counts were folded.
const FOLDED: &str = "SELECT generation FROM count_state WHERE bucket = 0";

/// All connections for slow reads are taken, again and again, while lists are answered at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reads_do_not_make_a_database_down() {
    let (service, database) = Service::start_with(&[("READ_POOL_MAX", "3")]).await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    service.post_step(&json!({"workflowID": "w", "stepName": "s", "stepStatus": "completed"})).await.audit_id();
    eventually("up", async || (service.read("/health").await["status"] == "ok").then_some(())).await;
    let up = "datastorage_database_up{pool=\"read\"}";
    let mut locker = server().connect(&database.name).await;
    for n in 0..4 {
        // The next list has to read the counts anew.
        let folded = database.number(FOLDED).await;
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.audit_id();
        eventually("folded", async || (database.number(FOLDED).await > folded).then_some(())).await;
        let lock = locker.transaction().await.expect("a transaction");
        lock.batch_execute("LOCK TABLE workflow_audit IN ACCESS EXCLUSIVE MODE").await.expect("locked");
        // Each waits for the lock as long as a read may; together they take longer than a probe waits.
        let slow = join_all((0..24).map(|_| service.get("/api/v1/workflows/w/steps")));
        let watch = async {
            service.read("/api/v1/incidents?limit=10").await;
            let health = service.read("/health").await;
            (health, service.metrics().await[up])
        };
        let (slow, (health, up)) = tokio::join!(slow, watch);
        assert!(slow.iter().all(|answer| answer.status == 503), "{:?}", slow[0].text);
        assert_eq!((&health["status"], up), (&json!("ok"), 1.0), "{health}");
        lock.rollback().await.expect("unlocked");
    }
    eventually("steps again", async || (service.get("/api/v1/workflows/w/steps").await.status == 200).then_some(()))
        .await;
}

/// Another process makes the month's partition: the audit waits for it, and is written.
#[tokio::test]
async fn an_audit_waits_for_another_processs_partition() {
    let (service, database) = Service::start().await;
    // A month that has no partition yet.
    let mut body = gateway_audit("rr");
    let time = chrono::Utc::now().checked_sub_months(chrono::Months::new(5)).expect("a time");
    body["createdAt"] = json!(time.to_rfc3339());
    let other = server().connect(&database.name).await;
    other.execute("SELECT pg_advisory_lock(7261001)", &[]).await.expect("locked");
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let release = async {
        eventually("it waits", async || (database.number(waiting).await == 1).then_some(())).await;
        // Longer than a statement waits for a row.
        other.execute("SELECT pg_sleep(0.8)", &[]).await.expect("slept");
        assert_eq!(database.number(waiting).await, 1, "it still waits");
        other.execute("SELECT pg_advisory_unlock(7261001)", &[]).await.expect("unlocked");
    };
    let (answer, ()) = tokio::join!(service.post(Writer::Gateway, &body), release);
    answer.audit_id();
}

/// A panic costs the flush that it happens in; what waits behind it is written by the next lane.
#[tokio::test]
async fn what_waits_behind_a_panic_is_written() {
    let (service, database) = Service::start_with(&[("FLUSH_MAX_ROWS", "1")]).await;
    let url = format!("http://{}/debug/panic/flush", service.metrics_address);
    assert_eq!(service.client.post(url).send().await.expect("an answer").status(), 204);
    let posts = (0..40).map(|n| {
        let (service, body) = (&service, gateway_audit(&format!("rr-{n}")));
        async move { service.post(Writer::Gateway, &body).await.status.as_u16() }
    });
    let statuses = join_all(posts).await;
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(500), count(201)), (1, 39), "{statuses:?}");
    assert_eq!(database.number("SELECT count(*) FROM remediation_audit").await, 39);
    assert_eq!(service.metrics().await["datastorage_write_queue_depth"], 0.0);
}
