//! Service and PostgreSQL are killed with -9 at random moments under load. `ROUNDS` sets how often (`make torture ROUNDS=100`).

use crate::support::eventually_long;
use fastrand::Rng;
use futures_util::future::join_all;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

fn rounds() -> u32 {
    std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// `serve --embedded` on a folder.
struct Service {
    child: Child,
    base: String,
}

impl Service {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_data-storage"))
            .args(["serve", "--embedded"])
            .env("EMBEDDED_DIR", dir)
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("RATE_LIMIT_RPS", "0")
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let base = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            Some(format!("http://{}", line["listen_addr"].as_str()?))
        });
        // Whatever it says further must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Service { child, base: base.expect("its address") }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }
}

fn postmaster(dir: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(dir.join("postgres/data/postmaster.pid")).ok()?;
    Pid::from_raw(file.lines().next()?.parse().ok()?)
}

fn token(dir: &Path) -> String {
    let tokens = std::fs::read_to_string(dir.join("tokens.csv")).expect("tokens");
    let line = tokens.lines().find(|line| line.contains(":aianalysis-controller-sa")).expect("a writer");
    line.split(',').next().expect("a token").to_owned()
}

fn audit(n: u64, random: &mut Rng) -> Value {
    let severity = if random.bool() { "high" } else { "low" };
    json!({
        "remediationRequestID": format!("rr-{}", n / 3), "alertName": format!("Alert{}", random.u8(0..5)), "namespace": "n",
        "cluster": format!("c{}", random.u8(0..3)), "severity": severity, "attempt": n,
        "reasoning": "memory ran out", "createdAt": chrono::Utc::now().to_rfc3339(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment() {
    let folder = tempfile::Builder::new().prefix("ds-").tempdir_in("/tmp").expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).expect("permissions");
    let dir: PathBuf = folder.path().join("data");
    let mut service = Service::start(&dir);
    let client = Client::builder().timeout(Duration::from_secs(8)).build().expect("a client");
    let health = async |base: &str| -> Option<Value> {
        client.get(format!("{base}/health")).send().await.ok()?.json().await.ok()
    };
    eventually_long("ready", async || (health(&service.base).await?["status"] == "ok").then_some(())).await;
    let token = token(&dir);
    let (posted, acknowledged) = (Cell::new(0u64), RefCell::new(HashSet::new()));
    let mut random = Rng::new();
    eprintln!("seed {}", random.get_seed());
    for _ in 0..rounds() {
        let over = Cell::new(false);
        let base = service.base.clone();
        let clients = join_all((0..16).map(async |_| {
            let mut random = Rng::new();
            while !over.get() {
                let n = posted.replace(posted.get() + 1);
                let post = client
                    .post(format!("{base}/api/v1/audit/remediation"))
                    .bearer_auth(&token)
                    .json(&audit(n, &mut random));
                // No answer, or one that is no 201, is no acknowledgement.
                let Ok(answer) = post.send().await else { continue };
                if answer.status() == 201
                    && let Ok(body) = answer.json::<Value>().await
                {
                    acknowledged.borrow_mut().insert(body["auditID"].as_str().expect("an id").to_owned());
                }
            }
        }));
        let (moment, what) = (random.u64(100..1500), random.u8(0..3));
        let killer = async {
            sleep(Duration::from_millis(moment)).await;
            let postmaster = postmaster(&dir).filter(|_| what != 0);
            if let Some(postmaster) = postmaster {
                // It may be starting again from the last round.
                let _ = kill_process(postmaster, Signal::KILL);
            }
            if what != 1 {
                service.kill();
            } else {
                sleep(Duration::from_millis(500)).await;
            }
            over.set(true);
        };
        tokio::join!(clients, killer);
        if what != 1 {
            service = Service::start(&dir);
        }
        eventually_long("ready again", async || (health(&service.base).await?["status"] == "ok").then_some(())).await;
    }
    let acknowledged = acknowledged.into_inner();
    eprintln!("{} posted, {} acknowledged", posted.get(), acknowledged.len());
    assert!(acknowledged.len() > 50);
    for id in &acknowledged {
        let answer = client.get(format!("{}/api/v1/audits/{id}", service.base)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{id} was acknowledged");
    }
    eventually_long("an empty outbox", async || {
        (health(&service.base).await?["parts"]["outbox"]["rows"] == 0).then_some(())
    })
    .await;
    let total: Value = client
        .get(format!("{}/api/v1/incidents?limit=1", service.base))
        .send()
        .await
        .expect("a list")
        .json()
        .await
        .expect("JSON");
    service.kill();
    let check = Command::new(env!("CARGO_BIN_EXE_data-storage"))
        .args(["check", "--totals", "--embedded", "--embedded-dir", dir.to_str().expect("a path")])
        .output()
        .expect("it runs");
    assert!(check.status.success(), "{total}: {}", String::from_utf8_lossy(&check.stdout));
}
