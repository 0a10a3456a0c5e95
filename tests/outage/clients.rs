//! Clients that leave, that send slowly, and that do not take their answer.

use crate::support::{Service, Writer, citus, eventually, gateway_audit, server, within};
use serde_json::json;
use std::cell::RefCell;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// The read would take ten minutes, as long as the deadline: it ends because its client has gone.
#[tokio::test]
async fn a_read_that_nobody_waits_for_ends_on_the_server() {
    if citus::leave_out("a read that nobody waits for: its slow view") {
        return;
    }
    let (service, database) = Service::start_with(&[("REQUEST_DEADLINE", "600s")]).await;
    let id = service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    // From now on every read of an audit takes ten minutes.
    let slow = "ALTER TABLE remediation_audit RENAME TO hidden;
        CREATE VIEW remediation_audit AS SELECT h.* FROM hidden AS h, pg_sleep(600)";
    server().connect(&database.name).await.batch_execute(slow).await.expect("a slow view");
    let working = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND datname = current_database()";
    let mut client = TcpStream::connect(service.address).await.expect("connected");
    let head = format!("GET /api/v1/audits/{id} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("sent");
    eventually("the read has begun", async || (database.number(working).await == 1).then_some(())).await;
    drop(client);
    eventually("the read has ended", async || (database.number(working).await == 0).then_some(())).await;
    // Other reads work as before: a new connection takes the place of the one that was given up.
    assert_eq!(service.incident_of("rr-1").await["remediation_request_id"], "rr-1");
}

/// A body that dawdles leaves less time for the work: of two searches the one whose head came first is answered first, although
/// its body is complete last.
#[tokio::test]
async fn the_deadline_counts_from_the_head() {
    const PAUSE: Duration = Duration::from_secs(2);
    if citus::leave_out("the deadline counts from the head: its slow view") {
        return;
    }
    let (service, database) = Service::start_with(&[("REQUEST_DEADLINE", "8s")]).await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    eventually("searchable", async || {
        let found = service.search(&json!({"query": "memory"})).await.json();
        (found["coverage"]["searched"] == 1).then_some(())
    })
    .await;
    // From now on every search takes ten minutes.
    let slow = "ALTER TABLE embedding_terms RENAME TO hidden;
        CREATE VIEW embedding_terms AS SELECT h.* FROM hidden AS h, pg_sleep(600)";
    database.client.batch_execute(slow).await.expect("a slow view");
    let dawdling = json!({"query": "memory of the node"});
    let (mut client, rest) = service.begin_to_post(Writer::Gateway, "/api/v1/incidents/search", &dawdling).await;
    let answered = RefCell::new(Vec::new());
    let slow = async {
        sleep(2 * PAUSE).await; // what a slow client does
        client.write_all(rest.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 4096];
        let length = client.read(&mut answer).await.expect("an answer");
        answered.borrow_mut().push("slow");
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    };
    let prompt = async {
        sleep(PAUSE).await;
        let answer = service.search(&json!({"query": "memory of the pod"})).await;
        answered.borrow_mut().push("prompt");
        assert_eq!(answer.status, 503, "{}", answer.text);
    };
    tokio::join!(slow, prompt);
    assert_eq!(answered.into_inner(), ["slow", "prompt"]);
}

/// Nothing is read of a long answer: after twenty seconds the connection ends, and what it held is free again.
#[tokio::test]
async fn an_answer_that_nobody_takes_is_not_kept() {
    let (service, _database) = Service::start().await;
    let bodies = (0..200).map(|n| {
        let mut body = gateway_audit("rr-0");
        body["errorMessage"] = json!(format!("{n}{}", "x".repeat(30_000)));
        let service = &service;
        async move { service.post(Writer::Gateway, &body).await.audit_id() }
    });
    futures_util::future::join_all(bodies).await;
    let id = service.incident_of("rr-0").await["id"].clone();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut client = socket.connect(service.address).await.expect("connected");
    let head = format!("GET /api/v1/incidents/{id} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut first = [0; 16];
    client.read_exact(&mut first).await.expect("the answer has begun");
    let in_flight = async || service.metrics().await["datastorage_answers_in_flight_bytes"];
    assert!(in_flight().await > 1_000_000.0);
    // A client that takes its answer, however slowly, has a minute.
    within(Duration::from_secs(60), "its memory is free", async || (in_flight().await == 0.0).then_some(())).await;
    drop(client);
}
