//! Replicas replaced one after the other behind Debian's haproxy, which follows readiness: clients that do not retry see nothing of it.

use crate::support::certificates::Authority;
use crate::support::{Service, Writer, eventually, gateway_audit, has, server};
use futures_util::future::join_all;
use rustix::process::Signal;
use std::cell::RefCell;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// The ports of a replica: of the API, and of metrics and health.
struct Ports(u16, u16);

struct Balancer {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Balancer {
    /// In front of these replicas, with further words for each server.
    fn start(replicas: &[Ports], words: &str) -> Self {
        let port = free_port();
        let servers: Vec<String> = replicas
            .iter()
            .map(|Ports(api, health)| format!("    server s{api} 127.0.0.1:{api} {words} check port {health}\n"))
            .collect();
        let config = format!(
            "defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    option redispatch\n\
             frontend clients\n    bind 127.0.0.1:{port}\n    default_backend replicas\n\
             backend replicas\n    option httpchk GET /health/ready\n    default-server inter 250ms fall 1 rise 1\n{}",
            servers.concat()
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).expect("written");
        let process = Command::new("haproxy")
            .arg("-f")
            .arg(&path)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("haproxy");
        Balancer { process, port, _folder: folder }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It ends with its test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Eight restarts in turn under load. Each request goes once, without a retry, and is answered 201 or 200.
async fn nobody_sees(settings: &[(&str, &str)], words: &str) {
    let database = server().database().await;
    let ports = [Ports(free_port(), free_port()), Ports(free_port(), free_port())];
    let start = async |at: usize| {
        let (api, health) = (format!("127.0.0.1:{}", ports[at].0), format!("127.0.0.1:{}", ports[at].1));
        let mut all = vec![("LISTEN_ADDR", &*api), ("METRICS_ADDR", &*health), ("SHUTDOWN_DELAY", "2s")];
        all.extend(settings);
        let service = Service::on(&database.url, &all).await;
        service.logged("ready").await;
        service
    };
    let mut services = [start(0).await, start(1).await];
    let balancer = Balancer::start(&ports, words);
    let url = format!("http://127.0.0.1:{}", balancer.port);
    let client = reqwest::Client::new();
    let list = format!("{url}/api/v1/incidents?limit=1");
    eventually("the balancer is there", async || client.get(&list).send().await.ok().filter(|a| a.status() == 200))
        .await;

    let (is_over, answered, failed) = (RefCell::new(false), RefCell::new(0), RefCell::new(Vec::new()));
    let clients = join_all((0..8).map(|client_number| {
        let (client, url, list) = (&client, &url, &list);
        let (is_over, answered, failed) = (&is_over, &answered, &failed);
        async move {
            for n in 0.. {
                if *is_over.borrow() {
                    break;
                }
                let body = gateway_audit(&format!("rr-{client_number}-{n}")).to_string();
                let post = client.post(format!("{url}/api/v1/audit/remediation")).bearer_auth(Writer::Gateway.token());
                let request = if n % 2 == 0 {
                    post.header("content-type", "application/json").body(body)
                } else {
                    client.get(list)
                };
                match request.send().await {
                    Ok(answer) if answer.status().is_success() => *answered.borrow_mut() += 1,
                    Ok(answer) => failed.borrow_mut().push(answer.status().to_string()),
                    Err(error) => failed.borrow_mut().push(format!("{error:?}")),
                }
            }
        }
    }));
    let restarts = async {
        for round in 0..8 {
            let at = round % 2;
            services[at].signal(Signal::TERM);
            assert!(services[at].exited().await.success());
            services[at] = start(at).await;
            // The balancer sends it requests again.
            let health = format!("http://127.0.0.1:{}/metrics", ports[at].1);
            eventually("it is used", async || {
                let text = client.get(&health).send().await.ok()?.text().await.ok()?;
                text.lines()
                    .any(|line| line.starts_with("datastorage_http_requests_total{endpoint=\"/api/v1/incidents\""))
                    .then_some(())
            })
            .await;
        }
        *is_over.borrow_mut() = true;
    };
    tokio::join!(clients, restarts);
    let (answered, failed) = (answered.into_inner(), failed.into_inner());
    assert!(failed.is_empty(), "{} of {answered} failed: {:?}", failed.len(), failed.first());
    let posted = database.number("SELECT count(*) FROM remediation_audit").await;
    assert!(answered > 100 && posted > 50, "{answered} {posted}");
}

#[tokio::test]
async fn behind_haproxy_by_http_1() {
    if has("haproxy", "-v") {
        nobody_sees(&[], "").await;
    }
}

#[tokio::test]
async fn behind_haproxy_by_http_2_over_tls() {
    if !has("haproxy", "-v") {
        return;
    }
    let authority = Authority::new("service");
    let signed = authority.sign("127.0.0.1");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let (cert, key) = (path(&signed.cert), path(&signed.key));
    nobody_sees(&[("TLS_CERT_FILE", &*cert), ("TLS_KEY_FILE", &*key)], "ssl verify none alpn h2").await;
}
