//! Memory stays flat however many clients ask a database that has fallen silent: what has been answered is not kept in any line.

use crate::support::proxy::{Proxy, Way};
use crate::support::{Service, Writer, gateway_audit, server};
use futures_util::future::join_all;
use serde_json::json;

/// Rounds in which each client sends one request; `FLOOD_ROUNDS` for a longer flood. A round takes the deadline of a request at least.
fn rounds() -> usize {
    std::env::var("FLOOD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

const CLIENTS: usize = 300;
/// What a flood may add after its first rounds: noise of the allocator.
const SLACK_KIB: u64 = 12 * 1024;

/// Has all clients ask again and again, and compares the memory after a third of the rounds with that at the end.
async fn flood(service: &Service, what: &str, ask: impl AsyncFn(usize, usize) -> u16) {
    let rounds = rounds();
    let mut early = 0;
    for round in 0..rounds {
        let statuses = join_all((0..CLIENTS).map(|client| ask(round, client))).await;
        let refused = statuses.iter().filter(|status| **status == 503).count();
        assert_eq!(refused, CLIENTS, "{what}: {statuses:?}");
        if round == rounds / 3 {
            early = service.memory_kib();
        }
    }
    let late = service.memory_kib();
    assert!(late < early + SLACK_KIB, "{what}: {early} KiB grew to {late} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_at_a_silent_replica() {
    let database = server().database().await;
    let proxy = Proxy::start().await;
    let url = proxy.url(&database.name);
    let settings = [("READ_DATABASE_URL", url.as_str()), ("REQUEST_DEADLINE", "1s"), ("PERMIT_WAIT", "500ms")];
    let service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    service.read("/api/v1/incidents?limit=10").await;
    proxy.set(Way::Silent);
    flood(&service, "lists", async |round, client| {
        let path = format!("/api/v1/incidents?alert_name=A{round}-{client}&limit=10");
        service.get(&path).await.status.as_u16()
    })
    .await;
    // Writes go on, and so do reads when the replica is back.
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    proxy.set(Way::Open);
    crate::support::eventually("reads again", async || {
        (service.get("/api/v1/incidents?limit=10").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_at_a_silent_vector_store() {
    let (database, vectors) = (server().database().await, server().database().await);
    let proxy = Proxy::start().await;
    let url = proxy.url(&vectors.name);
    let settings = [("VECTOR_DATABASE_URL", url.as_str()), ("REQUEST_DEADLINE", "1s"), ("PERMIT_WAIT", "500ms")];
    let service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    crate::support::eventually("a search is answered", async || {
        (service.search(&json!({"query": "memory"})).await.status == 200).then_some(())
    })
    .await;
    proxy.set(Way::Silent);
    flood(&service, "searches", async |round, client| {
        service.search(&json!({"query": format!("memory ran out {round} {client}")})).await.status.as_u16()
    })
    .await;
    service.read("/api/v1/incidents?limit=10").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_at_a_silent_primary() {
    let database = server().database().await;
    let proxy = Proxy::start().await;
    let url = proxy.url(&database.name);
    let settings = [("READ_DATABASE_URL", database.url.as_str()), ("REQUEST_DEADLINE", "1s"), ("PERMIT_WAIT", "500ms")];
    let service = Service::on(&url, &settings).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    proxy.set(Way::Silent);
    flood(&service, "posts", async |round, client| {
        service.post(Writer::Gateway, &gateway_audit(&format!("rr-{round}-{client}"))).await.status.as_u16()
    })
    .await;
    service.read("/api/v1/incidents?limit=10").await;
}

/// Patterns of sixty words each take no more memory than they may; and where there are too many none is held any longer.
#[tokio::test]
async fn held_patterns_have_a_bound() {
    let (service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr")).await.audit_id();
    let held = async |what: &str, wanted: f64| {
        crate::support::eventually_long(what, async || {
            let metrics = service.metrics().await;
            (metrics["datastorage_held_patterns"] == wanted).then_some(metrics["datastorage_held_patterns_bytes"])
        })
        .await
    };
    held("the first", 1.0).await;
    let before = service.memory_kib();
    // Every twelfth number of a vector is a word of the pattern: 64 words. The term that counts the patterns, and the counts of changes.
    let fill = |from: i64, to: i64| {
        format!(
            "INSERT INTO embedding_pattern_words (bucket, embedder, pattern, embedding, facets)
             SELECT n % 1024, 'builtin-2', md5(n::text)::uuid,
                 ('{{' || (SELECT string_agg((12 * k + n % 12 + 1)::text || ':0.125', ',' ORDER BY k)
                     FROM generate_series(0, 63) AS k) || '}}/768')::sparsevec,
                 0::bit(512)
             FROM generate_series({from}, {to}) AS n;
             UPDATE embedding_terms SET patterns = {to} + 1 WHERE term = '';
             INSERT INTO embedding_revisions (bucket, embedder, revision)
             SELECT b, 'builtin-2', {to} FROM generate_series(0, 1023) AS b
             ON CONFLICT (bucket, embedder) DO UPDATE SET revision = embedding_revisions.revision + 1"
        )
    };
    database.client.batch_execute(&fill(1, 249_999)).await.expect("filled");
    let bytes = held("all", 250_000.0).await;
    // And what the last block, which is not full, keeps free: the less, the more blocks there are.
    const FREE: f64 = 4.0 * 1024.0 * 1024.0;
    assert!(bytes <= 250_000.0 * 436.0 + FREE, "{bytes}: a million of 64 words fit into 416 MiB");
    let grown = service.memory_kib() - before;
    assert!(grown < 200 * 1024, "{grown} KiB for {bytes} bytes");
    assert_eq!(service.search(&json!({"query": "memory"})).await.status, 200);
    let many = "UPDATE embedding_terms SET patterns = 10000000 WHERE term = ''";
    database.client.batch_execute(many).await.expect("counted");
    assert_eq!(held("none", 0.0).await, 0.0);
    assert_eq!(service.search(&json!({"query": "memory"})).await.status, 200);
}
