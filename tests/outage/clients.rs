//! Clients that go, that dawdle, and that do not take what they asked for.

use crate::support::{Server, Service, Writer, eventually, eventually_long, gateway_audit, server};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// Long before the statement's own limit.
#[tokio::test]
async fn a_read_that_nobody_waits_for_ends_on_the_server() {
    let (service, database) = Service::start_with(&[("REQUEST_DEADLINE", "60s")]).await;
    let id = service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    // From now on whoever reads an audit waits for a minute.
    let slow = "ALTER TABLE remediation_audit RENAME TO hidden;
        CREATE VIEW remediation_audit AS SELECT h.* FROM hidden AS h, pg_sleep(60)";
    server().connect(&database.name).await.batch_execute(slow).await.expect("a slow view");
    let working = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND datname = current_database()";
    let mut client = TcpStream::connect(service.address).await.expect("connected");
    let head = format!("GET /api/v1/audits/{id} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("sent");
    eventually("the read has begun", async || (database.number(working).await == 1).then_some(())).await;
    drop(client);
    let gone = Instant::now();
    eventually("the read has ended", async || (database.number(working).await == 0).then_some(())).await;
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
    // Others are read as before, and the connection that was given up is replaced.
    assert_eq!(service.incident_of("rr-1").await["remediation_request_id"], "rr-1");
}

/// A body that dawdles leaves less time for the work.
#[tokio::test]
async fn the_deadline_counts_from_the_head() {
    let server = Server::start("dawdle");
    let database = server.database().await;
    let service = Service::on(&database.url, &[("REQUEST_DEADLINE", "2s")]).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-before")).await.audit_id();
    let frozen = server.freeze(&database).await;
    let body = gateway_audit("rr-slow").to_string();
    let (begin, end) = body.split_at(body.len() / 2);
    let mut client = TcpStream::connect(service.address).await.expect("connected");
    let token = Writer::Gateway.token();
    let head = format!(
        "POST /api/v1/audit/remediation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{begin}",
        body.len()
    );
    let started = Instant::now();
    client.write_all(head.as_bytes()).await.expect("sent");
    sleep(Duration::from_millis(1_400)).await; // what a slow client does
    client.write_all(end.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let length = client.read(&mut answer).await.expect("an answer");
    let took = started.elapsed();
    drop(frozen);
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_millis(2_900), "{took:?}");
}

/// Nothing is read of a long answer: the connection ends, and what it held is free again.
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
    let begun = Instant::now();
    eventually_long("its memory is free", async || (in_flight().await == 0.0).then_some(())).await;
    // Before the time that a client has who takes its answer slowly.
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    drop(client);
}
