//! The service as its users have it: the built program, over HTTP.

use super::{Database, citus, contract, eventually, server};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The four writers of the source document, and an identity that may write nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Gateway,
    AiAnalysis,
    Executor,
    Workflow,
    Stranger,
}

impl Writer {
    pub const ALL: [Writer; 5] =
        [Writer::Gateway, Writer::AiAnalysis, Writer::Executor, Writer::Workflow, Writer::Stranger];

    pub fn account(self) -> &'static str {
        match self {
            Writer::Gateway => "gateway-sa",
            Writer::AiAnalysis => "aianalysis-controller-sa",
            Writer::Executor => "kubernetes-executor-sa",
            Writer::Workflow => "workflowexecution-controller-sa",
            Writer::Stranger => "stranger-sa",
        }
    }

    pub fn token(self) -> String {
        format!("token-of-{}", self.account())
    }
}

/// The program that is tried: the one that was built for the tests, or PROGRAM, for figures of another.
pub fn program() -> String {
    std::env::var("PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_data-storage").to_owned())
}

/// The program with these arguments on this database, with nothing else of the environment.
pub fn data_storage(database_url: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.env("DATABASE_URL", database_url).envs(citus::settings_of(database_url));
    command.env("LISTEN_ADDR", "127.0.0.1:0").env("METRICS_ADDR", "127.0.0.1:0");
    command
}

/// Runs a command to its end: whether it succeeded, and what it printed.
pub async fn ended(command: &mut tokio::process::Command) -> (bool, String) {
    let output = command.output().await.expect("it runs");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
}

/// What a command prints that ends well.
pub async fn succeeds(command: &mut tokio::process::Command) -> String {
    let (success, text) = ended(command).await;
    assert!(success, "{command:?}: {text}");
    text
}

pub struct Service {
    child: Child,
    pub address: SocketAddr,
    pub metrics_address: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
    pub client: Client,
    tokens: tempfile::NamedTempFile,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The audit id of a 201.
    pub fn audit_id(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], "persisted");
        body["auditID"].as_str().expect("an id").to_owned()
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}

impl Service {
    /// A service on this database, with further settings.
    pub async fn on(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let tokens = tempfile::NamedTempFile::new().expect("a file");
        let lines: Vec<String> = Writer::ALL
            .iter()
            .map(|writer| {
                format!("{},system:serviceaccount:kubernaut-system:{},1,\"g1,g2\"", writer.token(), writer.account())
            })
            .collect();
        std::fs::write(tokens.path(), lines.join("\n")).expect("tokens");
        let mut command = Command::new(program());
        command
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("AUTH_MODE", "static")
            .env("AUTH_TOKENS_FILE", tokens.path())
            .env("LOG_FORMAT", "json")
            .env("RATE_LIMIT_RPS", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command.envs(citus::settings_of(database_url));
        for (name, value) in settings {
            command.env(name, value);
        }
        let mut child = command.spawn().expect("the service starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().expect("a pipe"), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().expect("no panic").push(line);
            }
        });
        let mut service = Service {
            child,
            address: ([0, 0, 0, 0], 0).into(),
            metrics_address: ([0, 0, 0, 0], 0).into(),
            log,
            client: Client::builder().build().expect("a client"),
            tokens,
        };
        let listening = service.logged("listening").await;
        let address = |name: &str| listening[name].as_str().expect(name).parse().expect(name);
        service.address = address("listen_addr");
        service.metrics_address = address("metrics_addr");
        service
    }

    /// A ready service with default settings on a database of its own.
    pub async fn start() -> (Self, Database) {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> (Self, Database) {
        let database = server().database().await;
        let service = Self::on(&database.url, settings).await;
        service.logged("ready").await;
        // Another vector store may be away, as the test wants it.
        if settings.iter().all(|(name, _)| *name != "VECTOR_DATABASE_URL") {
            service.migrated().await;
        }
        (service, database)
    }

    /// Waits until the vector store is migrated: a service is ready before, and answers searches with 503 until then.
    pub async fn migrated(&self) {
        let url = format!("http://{}/health", self.metrics_address);
        eventually("the vector store is migrated", async || {
            let health: Value = self.client.get(&url).send().await.expect("health").json().await.expect("JSON");
            (health["parts"]["vector_write_database"]["migrated"] == true).then_some(())
        })
        .await;
    }

    /// The file of its tokens.
    pub fn tokens(&self) -> &std::path::Path {
        self.tokens.path()
    }

    /// The first line of the log with this message, once it is there.
    pub async fn logged(&self, message: &str) -> Value {
        eventually(&format!("log line {message}"), async || {
            let log = self.log.lock().expect("no panic");
            log.iter().find(|line| line["message"] == message).cloned()
        })
        .await
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no panic").clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let mut request = self.client.request(method.clone(), self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_vec());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { status, headers, text: response.text().await.expect("a body") };
        contract::check(&method, path, &answer);
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// The JSON of a 200.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    pub async fn post_raw(&self, writer: Writer, path: &str, body: &str, more: &[(&str, &str)]) -> Answer {
        let token = format!("Bearer {}", writer.token());
        let mut headers = vec![("authorization", token.as_str()), ("content-type", "application/json")];
        headers.extend(more);
        self.send(Method::POST, path, &headers, Some(body.as_bytes())).await
    }

    /// A remediation audit.
    pub async fn post(&self, writer: Writer, body: &Value) -> Answer {
        self.post_raw(writer, "/api/v1/audit/remediation", &body.to_string(), &[]).await
    }

    /// Begins to post: sends the head and half of the body, and returns the rest of the body. The service has read the head by
    /// then: it answers `Expect: 100-continue`.
    pub async fn begin_to_post(&self, writer: Writer, path: &str, body: &Value) -> (TcpStream, String) {
        const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let body = body.to_string();
        let (begin, rest) = body.split_at(body.len() / 2);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            writer.token(),
            body.len()
        );
        let mut client = TcpStream::connect(self.address).await.expect("connected");
        client.write_all(head.as_bytes()).await.expect("sent");
        let mut go_on = [0; GO_ON.len()];
        client.read_exact(&mut go_on).await.expect("an interim answer");
        assert_eq!(go_on, GO_ON, "{}", String::from_utf8_lossy(&go_on));
        client.write_all(begin.as_bytes()).await.expect("sent");
        (client, rest.to_owned())
    }

    /// A workflow audit.
    pub async fn post_step(&self, body: &Value) -> Answer {
        self.post_raw(Writer::Workflow, "/api/v1/audit/workflow", &body.to_string(), &[]).await
    }

    /// A search for similar incidents.
    pub async fn search(&self, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, "/api/v1/incidents/search", &headers, Some(body.to_string().as_bytes())).await
    }

    /// The one incident of a remediation request.
    pub async fn incident_of(&self, request: &str) -> Value {
        let list = self.read(&format!("/api/v1/incidents?remediation_request_id={request}")).await;
        assert_eq!(list["pagination"]["total"], 1, "{list}");
        list["data"][0].clone()
    }

    /// The values of all metrics, by name and labels.
    pub async fn metrics(&self) -> HashMap<String, f64> {
        let url = format!("http://{}/metrics", self.metrics_address);
        let text = self.client.get(url).send().await.expect("metrics").text().await.expect("text");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    }

    /// The resident memory of the process.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it lives");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, and the exit status.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.exited().await
    }

    pub async fn exited(&mut self) -> ExitStatus {
        eventually("the service ends", async || self.child.try_wait().expect("its status")).await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed: what the service logged may say why.
            for line in self.log() {
                eprintln!("{}: {line}", self.address);
            }
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway's audit of a request.
pub fn gateway_audit(request: &str) -> Value {
    json!({
        "remediationRequestID": request,
        "alertName": "HighMemoryUsage",
        "namespace": "production",
        "cluster": "us-west-2",
        "priority": "P0",
    })
}

/// The present time as RFC 3339, with the microseconds that PostgreSQL keeps.
pub fn now() -> String {
    data_storage_actors::domain::time::format_rfc3339(chrono::Utc::now())
}
