//! The way to the database is cut without a word: what is sent is taken, and nothing comes back. New connections work.

use crate::support::{Service, Writer, eventually, gateway_audit, server};
use futures_util::future::join_all;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A proxy to the server. Connections with a number below `cut` are silent.
async fn proxy(cut: Arc<AtomicU64>, count: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_server, to_server) = server().stream().await.expect("the server");
            let number = count.fetch_add(1, Ordering::SeqCst);
            let (from_client, to_client) = client.into_split();
            tokio::spawn(pump(from_client, to_server, number, cut.clone()));
            tokio::spawn(pump(from_server, to_client, number, cut.clone()));
        }
    });
    address
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, number: u64, cut: Arc<AtomicU64>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let silent = number < cut.load(Ordering::SeqCst);
        if !silent && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn reads_and_writes_come_back_by_themselves() {
    let database = server().database().await;
    let (cut, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let address = proxy(cut.clone(), count.clone()).await;
    let url = format!("postgresql://postgres@{address}/{}", database.name);
    let service = Service::on(&url, &[("REQUEST_DEADLINE", "2s")]).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-before")).await.audit_id();
    // So that all shared connections are open.
    join_all((0..32).map(|_| service.get("/api/v1/incidents?limit=10"))).await;
    service.read("/api/v1/incidents?status=failed").await;
    cut.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
    for n in 0..4 {
        eventually("reads again", async || {
            let answers = join_all((0..8).map(|_| service.get("/api/v1/incidents?limit=10"))).await;
            answers.iter().all(|answer| answer.status == 200).then_some(())
        })
        .await;
        eventually("counted reads again", async || {
            (service.get("/api/v1/incidents?status=failed").await.status == 200).then_some(())
        })
        .await;
        eventually("writes again", async || {
            (service.post(Writer::Gateway, &gateway_audit(&format!("rr-{n}"))).await.status == 201).then_some(())
        })
        .await;
    }
}
