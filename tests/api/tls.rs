//! TLS both ways: clients to the service, the service to PostgreSQL.

use crate::support::certificates::{Authority, Signed};
use crate::support::tls_front::TlsFront;
use crate::support::{Service, Writer, citus, eventually, gateway_audit, server};
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn trusting(authority: &Authority) -> ClientBuilder {
    let certificate = Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    Client::builder().use_rustls_tls().add_root_certificate(certificate)
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path")
}

fn identity(signed: &Signed) -> Identity {
    let mut pem = std::fs::read(&signed.cert).expect("read");
    pem.extend(std::fs::read(&signed.key).expect("read"));
    Identity::from_pem(&pem).expect("PEM")
}

async fn status(service: &Service, client: ClientBuilder) -> Result<u16, reqwest::Error> {
    let client = client.build().expect("a client");
    let answer = client.get(format!("https://{}/health/live", service.address)).send().await?;
    Ok(answer.status().as_u16())
}

#[tokio::test]
async fn the_services_own_port() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let signed = authority.sign("127.0.0.1");
    let files = [("TLS_CERT_FILE", path(&signed.cert)), ("TLS_KEY_FILE", path(&signed.key))];
    let (service, _database) = Service::start_with(&files).await;
    assert_eq!(status(&service, trusting(&authority)).await.expect("an answer"), 200);
    assert!(status(&service, trusting(&other)).await.is_err());
    assert!(service.client.get(service.url("/health/live")).send().await.is_err(), "plain HTTP");
    // The test's certificates end with the year 2099.
    let ends = service.metrics().await["datastorage_tls_certificate_expiry_timestamp_seconds"];
    assert!((ends - 4_102_444_800.0).abs() < 1.0, "{ends}");
    // Certificates are rotated: key and certificate are replaced one after the other.
    let next = other.sign("127.0.0.1");
    std::fs::copy(&next.key, &signed.key).expect("copied");
    std::fs::copy(&next.cert, &signed.cert).expect("copied");
    eventually("the new certificate", async || status(&service, trusting(&other)).await.ok()).await;
    assert!(status(&service, trusting(&authority)).await.is_err());
}

/// The commands that ask a service trust the system's authorities, and those of `SSL_CERT_FILE`.
#[tokio::test]
async fn commands_ask_over_tls() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let signed = authority.sign("127.0.0.1");
    let files = [("TLS_CERT_FILE", path(&signed.cert)), ("TLS_KEY_FILE", path(&signed.key))];
    let (service, _database) = Service::start_with(&files).await;
    let ask = async |authority: Option<&Authority>| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_data-storage"));
        command.args(["incidents", "list", "--output", "json"]).env_clear();
        command.env("DATA_STORAGE_URL", format!("https://{}", service.address));
        command.envs(authority.map(|authority| ("SSL_CERT_FILE", authority.file())));
        command.kill_on_drop(true).output().await.expect("it runs")
    };
    let answer = ask(Some(&authority)).await;
    assert!(answer.status.success() && answer.stdout.starts_with(b"{"), "{answer:?}");
    for unknown in [Some(&other), None] {
        let refused = ask(unknown).await;
        let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(!refused.status.success() && told.contains("certificate"), "{refused:?}");
    }
}

/// A client that connects and says nothing, and one that stops in the middle of its hello, are cut off.
#[tokio::test]
async fn a_handshake_that_does_not_end() {
    let authority = Authority::new("one");
    let signed = authority.sign("127.0.0.1");
    let files = [("TLS_CERT_FILE", path(&signed.cert)), ("TLS_KEY_FILE", path(&signed.key))];
    let (service, _database) = Service::start_with(&files).await;
    // The second text is a handshake record that announces more bytes than it has.
    for begin in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]] {
        let mut client = TcpStream::connect(service.address).await.expect("connected");
        client.write_all(begin).await.expect("sent");
        let mut rest = Vec::new();
        // A handshake has five seconds.
        let ended = timeout(Duration::from_secs(60), client.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{begin:?} is still waited for");
    }
    assert_eq!(status(&service, trusting(&authority)).await.expect("an answer"), 200);
}

#[tokio::test]
async fn clients_that_must_show_a_certificate() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let signed = authority.sign("127.0.0.1");
    let ca = authority.file();
    let (service, _database) = Service::start_with(&[
        ("TLS_CERT_FILE", path(&signed.cert)),
        ("TLS_KEY_FILE", path(&signed.key)),
        ("TLS_CLIENT_CA_FILE", path(&ca)),
    ])
    .await;
    let client = authority.sign("client");
    assert_eq!(status(&service, trusting(&authority).identity(identity(&client))).await.expect("an answer"), 200);
    assert!(status(&service, trusting(&authority)).await.is_err(), "none");
    let wrong = other.sign("client");
    assert!(status(&service, trusting(&authority).identity(identity(&wrong))).await.is_err(), "wrong authority");
    let line = service.logged("a client's certificate is refused").await;
    assert!(line["error"].as_str().expect("text").contains("UnknownIssuer"), "{line}");
    let expired = authority.sign_expired("client");
    assert!(status(&service, trusting(&authority).identity(identity(&expired))).await.is_err(), "expired");
    // A platform's probes have no certificate: they find the health paths on the port of the metrics.
    let health = format!("http://{}/health/live", service.metrics_address);
    assert_eq!(service.client.get(health).send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_postgresql_as_libpq_means_it() {
    // It looks at the way to the PostgreSQL of the tests.
    if citus::leave_out("TLS to PostgreSQL") {
        return;
    }
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let front = TlsFront::start(&authority.sign("localhost")).await;
    let (ca, wrong) = (authority.file(), other.file());
    let port = front.address.port();
    let database = server().database().await;
    let check = |host: &str, parameters: &str| {
        let url = format!("postgresql://postgres@{host}:{port}/{}?{parameters}", database.name);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_data-storage"))
            .args(["migrate", "--database-url", &url])
            .output()
            .expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let check = async |host: &'static str, parameters: String| tokio::task::block_in_place(|| check(host, &parameters));
    for (host, parameters, words) in [
        ("localhost", "sslmode=require".to_owned(), ""),
        ("localhost", "sslmode=prefer".to_owned(), ""),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={}", path(&ca)), ""),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={}", path(&ca)), ""),
        ("localhost", format!("sslmode=verify-full&sslrootcert={}", path(&ca)), ""),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={}", path(&ca)), "not valid for name"),
        ("localhost", format!("sslmode=verify-full&sslrootcert={}", path(&wrong)), "UnknownIssuer"),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={}", path(&wrong)), "UnknownIssuer"),
        ("localhost", format!("sslmode=require&sslrootcert={}", path(&wrong)), "UnknownIssuer"),
        ("localhost", "sslmode=verify-full".to_owned(), "needs sslrootcert"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere".to_owned(), "/nowhere"),
    ] {
        let before = front.encrypted.load(Ordering::SeqCst);
        let (worked, text) = check(host, parameters.clone()).await;
        assert_eq!(worked, words.is_empty(), "{host} {parameters}: {text}");
        assert!(text.contains(words), "{host} {parameters}: {text}");
        assert_eq!(front.encrypted.load(Ordering::SeqCst) > before, worked, "{host} {parameters}");
    }
    let before = front.encrypted.load(Ordering::SeqCst);
    assert!(check("localhost", "sslmode=disable".to_owned()).await.0);
    assert_eq!(front.encrypted.load(Ordering::SeqCst), before);

    // The whole service works over TLS too.
    let url = format!(
        "postgresql://postgres@localhost:{port}/{}?sslmode=verify-full&sslrootcert={}",
        database.name,
        path(&ca)
    );
    let service = Service::on(&url, &[]).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-tls")).await.audit_id();
    service.incident_of("rr-tls").await;
}
