//! Service and PostgreSQL are killed with -9 at random moments under load. `ROUNDS` sets the number of times (`make torture ROUNDS=100`).

use crate::embedded::{Folder, PROGRAM, Stderr};
use crate::support::eventually_long;
use fastrand::Rng;
use futures_util::future::join_all;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
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
    stderr: Stderr,
}

impl Service {
    async fn start(dir: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--embedded"])
            .env("EMBEDDED_DIR", dir)
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("RATE_LIMIT_RPS", "0")
            .env("LOG_FORMAT", "json")
            // A test that fails shows the last lines: not those of each request.
            .env("LOG_LEVEL", "info,data_storage::middleware=off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = Stderr::of(&mut child);
        let mut service = Service { child, base: String::new(), stderr };
        let address = eventually_long("an address, or the end", async || {
            let address = service.stderr.find(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                Some(Ok(format!("http://{}", line["listen_addr"].as_str()?)))
            });
            address.or_else(|| service.child.try_wait().expect("its status").map(Err))
        })
        .await;
        service.base = address.expect("the service starts");
        service
    }

    fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let folder = Folder::new();
    let dir: PathBuf = folder.path().join("data");
    let mut service = Service::start(&dir).await;
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
                // Only a 201 is an acknowledgement.
                let Ok(answer) = post.send().await else { continue };
                if answer.status() == 201
                    && let Ok(body) = answer.json::<Value>().await
                {
                    acknowledged.borrow_mut().insert(body["auditID"].as_str().expect("an id").to_owned());
                }
            }
        }));
        let (moment, what) = (random.u64(0..1400), random.u8(0..3));
        let enough = acknowledged.borrow().len() + 20;
        let killer = async {
            let acknowledgements = async || (acknowledged.borrow().len() >= enough).then_some(());
            eventually_long("acknowledgements", acknowledgements).await;
            sleep(Duration::from_millis(moment)).await;
            let postmaster = postmaster(&dir).filter(|_| what != 0);
            if let Some(postmaster) = postmaster {
                // PostgreSQL may be starting again from the last round.
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
            service = Service::start(&dir).await;
        }
        eventually_long("ready again", async || (health(&service.base).await?["status"] == "ok").then_some(())).await;
    }
    let acknowledged = acknowledged.into_inner();
    eprintln!("{} posted, {} acknowledged", posted.get(), acknowledged.len());
    for id in &acknowledged {
        // PostgreSQL may still be starting again, which `/health` tells with a delay.
        let status = eventually_long("an answer", async || {
            let answer = client.get(format!("{}/api/v1/audits/{id}", service.base)).send().await;
            answer.ok().map(|answer| answer.status()).filter(|status| *status != 503)
        });
        assert_eq!(status.await, 200, "{id} was acknowledged");
    }
    eventually_long("an empty outbox", async || {
        (health(&service.base).await?["parts"]["outbox"]["rows"] == 0).then_some(())
    })
    .await;
    let list = client.get(format!("{}/api/v1/incidents?limit=1", service.base)).send().await.expect("a list");
    let list: Value = list.json().await.expect("JSON");
    service.kill();
    let check = Command::new(PROGRAM)
        .args(["check", "--totals", "--embedded", "--embedded-dir", dir.to_str().expect("a path")])
        .output()
        .expect("it runs");
    let (out, words) = (String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(check.status.success(), "{}, after {list}\n{out}{words}", check.status);
}
