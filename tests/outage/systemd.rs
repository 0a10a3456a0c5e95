//! The messages to systemd: ready, alive while every actor answers, stopping.

use crate::panics::give_up;
use crate::support::{Service, Writer, eventually, gateway_audit, server};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

struct Systemd {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Systemd {
    fn listen() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_nonblocking(true).expect("non-blocking");
        Systemd { socket, folder }
    }

    /// The messages since the last call.
    fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        let mut message = [0; 256];
        while let Ok(length) = self.socket.recv(&mut message) {
            told.push(String::from_utf8_lossy(&message[..length]).trim().to_owned());
        }
        told
    }
}

#[tokio::test]
async fn it_is_told_what_the_service_does() {
    let systemd = Systemd::listen();
    let path = systemd.folder.path().join("notify");
    let database = server().database().await;
    let settings = [("NOTIFY_SOCKET", path.to_str().expect("a path")), ("WATCHDOG_USEC", "400000")];
    let mut service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    let mut told = Vec::new();
    eventually("ready and two beats", async || {
        told.extend(systemd.told());
        let beats = told.iter().filter(|line| *line == "WATCHDOG=1").count();
        (beats >= 2 && told.iter().any(|line| line == "READY=1")).then_some(())
    })
    .await;
    service.stop().await;
    assert!(systemd.told().contains(&"STOPPING=1".to_owned()));
}

/// Its socket is full after some messages: whoever writes to it waits then, and nobody else.
#[tokio::test]
async fn one_that_does_not_read_holds_nothing_up() {
    let systemd = Systemd::listen();
    let path = systemd.folder.path().join("notify");
    let client = UnixDatagram::unbound().expect("a socket");
    client.set_nonblocking(true).expect("non-blocking");
    while client.send_to(b"WATCHDOG=1", &path).is_ok() {}
    let database = server().database().await;
    let settings = [("NOTIFY_SOCKET", path.to_str().expect("a path")), ("WATCHDOG_USEC", "20000")];
    let mut service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    service.logged("systemd does not read what it is told").await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    service.stop().await;
}

/// When an actor is given up, the watchdog runs out, and systemd starts the service anew.
#[tokio::test]
async fn it_does_not_beat_for_a_service_without_an_actor() {
    let systemd = Systemd::listen();
    let path = systemd.folder.path().join("notify");
    let database = server().database().await;
    let settings = [("NOTIFY_SOCKET", path.to_str().expect("a path")), ("WATCHDOG_USEC", "400000")];
    let service = Service::on(&database.url, &settings).await;
    service.logged("ready").await;
    eventually("a beat", async || systemd.told().contains(&"WATCHDOG=1".to_owned()).then_some(())).await;
    give_up(&service).await;
    service.logged("an actor does not answer: the watchdog is not told").await;
    // Silent for longer than systemd's patience.
    let mut silent_since = Instant::now();
    eventually("silence", async || {
        if !systemd.told().is_empty() {
            silent_since = Instant::now();
        }
        (silent_since.elapsed() > Duration::from_millis(900)).then_some(())
    })
    .await;
}
