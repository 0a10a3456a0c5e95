//! The clients of examples/, each against a service whose first answer is lost on its way: the write is committed, and the client
//! tries again. A language that is not there skips its test by name, but where `REQUIRE_TOOLS` is set that is a failure.

use crate::deploy::has;
use crate::support::{Service, Writer, eventually, now};
use futures_util::future::join_all;
use serde_json::json;
use std::net::SocketAddr;
use std::process::Output;
use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// More than a page of the walk that each client does.
const INCIDENTS: usize = 120;

/// What a client does is seen from both sides. `more` are parts of what it prints, each in its own manner.
async fn runs(command: &[&str], more: &[&str]) {
    let (service, _database) = Service::start().await;
    join_all((0..INCIDENTS).map(|number| post(&service, number))).await;
    eventually("they are searchable", async || {
        let found = service.search(&json!({"query": "memory"})).await.json();
        (found["coverage"]["searched"] == INCIDENTS).then_some(())
    })
    .await;

    let output = call(command, way_that_loses_an_answer(service.address).await, &Writer::Gateway.token()).await;
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{log}");
    let all = format!("{} incidents of HighMemoryUsage in production", INCIDENTS + 1);
    for part in ["was there already", all.as_str(), "completed"].iter().chain(more) {
        assert!(text.contains(part), "no {part} in {text}\n{log}");
    }
    // The write that was tried again is there once.
    let id = text.split(' ').nth(1).expect("the audit's id");
    let request = service.read(&format!("/api/v1/audits/{id}")).await["remediationRequestID"].clone();
    let incident = service.incident_of(request.as_str().expect("a request")).await;
    let incident = service.read(&format!("/api/v1/incidents/{}", incident["id"])).await;
    assert_eq!(incident["audits"].as_array().expect("audits").len(), 1, "{incident}");

    let refused = call(command, service.address, "of nobody").await;
    let log = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && log.contains("401"), "{refused:?}");
}

/// An incident like that of the clients, of another target, so that none is the recurrence of another.
async fn post(service: &Service, number: usize) {
    let audit = json!({
        "remediationRequestID": format!("rr-{number}"), "alertName": "HighMemoryUsage", "namespace": "production",
        "cluster": "us-west-2", "actionType": "scale", "targetResource": format!("deployment/app-{number}"),
        "status": "completed", "reasoning": "Pods run out of memory.", "createdAt": now(),
    });
    service.post(Writer::Gateway, &audit).await.audit_id();
}

async fn call(command: &[&str], address: SocketAddr, token: &str) -> Output {
    Command::new(command[0])
        .args(&command[1..])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("DATA_STORAGE_URL", format!("http://{address}"))
        .env("DATA_STORAGE_TOKEN", token)
        .kill_on_drop(true)
        .output()
        .await
        .expect("it runs")
}

/// The address of a way to the service that breaks once the first answer is about to come back.
async fn way_that_loses_an_answer(service: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut loses = true;
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(service).await.expect("the service listens");
            tokio::spawn(carry(client, server, std::mem::take(&mut loses)));
        }
    });
    address
}

async fn carry(mut client: TcpStream, mut server: TcpStream, loses: bool) {
    if !loses {
        // Either side may end it.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let (mut from_server, mut to_server) = server.split();
    let mut byte = [0];
    tokio::select! {
        read = from_server.read(&mut byte) => assert_eq!(read.expect("an answer"), 1),
        sent = copy(&mut client, &mut to_server) => panic!("the client went before its answer: {sent:?}"),
    }
}

#[tokio::test]
async fn python() {
    if has("python3") {
        let parts = ["similar: incident", "worked: scale", "HighMemoryUsage with scale, 121 times: 100% worked"];
        runs(&["python3", "examples/python/client.py"], &parts).await;
    }
}

#[tokio::test]
async fn curl() {
    if has("curl") {
        let parts = ["similar: {\"data\":[{\"id\":", "success rates: {\"data\":[{", "\"success_rate\":1.0"];
        runs(&["sh", "examples/curl/session.sh"], &parts).await;
    }
}

#[tokio::test]
async fn go() {
    if has("go") {
        let parts = ["similar: incident", "worked: scale", "HighMemoryUsage with scale, 121 times: 100 % worked"];
        runs(&["go", "run", "examples/go/main.go"], &parts).await;
    }
}

#[tokio::test]
async fn typescript() {
    if has("node") && has("tsc") {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().to_str().expect("a path");
        let options = ["--strict", "--target", "es2022", "--module", "es2022", "--outDir", folder];
        let compiled = Command::new("tsc")
            .args(options)
            .arg("examples/typescript/client.ts")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .await
            .expect("tsc");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stdout));
        let parts = ["similar: incident", "worked: scale", "HighMemoryUsage with scale, 121 times: 100 % worked"];
        runs(&["node", &format!("{folder}/client.js")], &parts).await;
    }
}

/// "Run it for real" in README.md, as it stands, but for the build: on a database that somebody gives it.
#[tokio::test]
async fn the_readme_runs_it_for_real() {
    let readme = crate::pages::file("README.md");
    let section = readme.split("## Run it for real").nth(1).expect("a section");
    let block = section.split("```sh").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let program = env!("CARGO_BIN_EXE_data-storage");
    let script: String = block
        .lines()
        .filter(|line| !line.starts_with("make build"))
        .map(|line| line.replace("target/release/data-storage", program) + "\n")
        .collect();
    let script = script.replace(&format!("{program} serve"), &format!("exec {program} serve"));
    let database = crate::support::server().database().await;
    let start = |url: &str| {
        tokio::process::Command::new("sh")
            .args(["-ec", &script])
            .current_dir(folder.path())
            .env("DATABASE_URL", url)
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell")
    };
    let refused = start("").wait_with_output().await.expect("it ends");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the URL of a PostgreSQL 16"), "{refused:?}");
    let mut child = start(&database.url);
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().expect("a pipe")));
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains("\"ready\"") {
                return true;
            }
        }
        false
    };
    let is_ready = tokio::time::timeout(std::time::Duration::from_secs(60), ready).await.expect("in time");
    assert!(is_ready, "{:?}", child.wait_with_output().await);
    let tokens = std::fs::read_to_string(folder.path().join("tokens.csv")).expect("tokens");
    assert!(tokens.split(',').next().is_some_and(|token| token.len() == 64), "{tokens}");
}
