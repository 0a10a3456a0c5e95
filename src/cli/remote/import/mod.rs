//! `data-storage import`: the tables of the Go service, row by row as audits of a running service.

mod audit;
mod dump;

use super::{Remote, ServiceOptions};
use crate::cli::{CommandError, say};
use audit::{Known, Table};
use dump::DumpError;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::sleep;

pub const EXAMPLES: &str = "\
Examples:
  pg_dump --data-only action_history > dump.sql && data-storage import dump.sql
  pg_dump --data-only action_history | data-storage import - --cluster us-west-2";

#[derive(Debug, clap::Args)]
pub struct ImportOptions {
    /// Dump in text form, also as gzip or zstd; - is standard input
    file: String,
    /// Cluster of rows that name none
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    cluster: String,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    #[command(flatten)]
    service: ServiceOptions,
}

/// A row on its way.
struct Item {
    line: u64,
    /// In their order; there is one at least.
    audits: Vec<Value>,
}

#[derive(Default)]
struct Counts {
    posted: AtomicU64,
    replayed: AtomicU64,
    left_out: AtomicU64,
    refused: AtomicU64,
    /// Why rows were refused: the first of them.
    reasons: Mutex<Vec<String>>,
}

impl Counts {
    fn refuse(&self, line: u64, reason: &str) {
        self.refused.fetch_add(1, Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if reasons.len() < SHOWN {
            reasons.push(format!("line {line}: {reason}"));
        }
    }
}

/// Reasons that are told.
const SHOWN: usize = 10;
/// How long a row is tried while the service is away or busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// Rows that wait for a connection.
const WAITING: usize = 64;

impl ImportOptions {
    pub async fn run(&self) -> Result<(), CommandError> {
        let remote = Arc::new(Remote::of(&self.service)?);
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file);
        let file = match self.file.as_str() {
            "-" => spooled()?,
            path => File::open(path).map_err(|error| named(&error))?,
        };
        // Rows are about what stands behind them in the dump.
        let (first, cluster) = (file.try_clone()?, self.cluster.clone());
        let known = tokio::task::spawn_blocking(move || learn(first, cluster)).await?.map_err(|error| named(&error))?;

        let counts = Arc::new(Counts::default());
        let bar = progress();
        // The rows of a request go one after the other: an incident has the time of the audit that came first.
        let (lanes, workers): (Vec<_>, Vec<_>) = (0..self.connections)
            .map(|_| {
                let (lane, rows) = mpsc::channel(WAITING);
                (lane, tokio::spawn(post_all(remote.clone(), rows, counts.clone(), bar.clone())))
            })
            .unzip();
        let counted = counts.clone();
        let read = tokio::task::spawn_blocking(move || read(file, &known, &lanes, &counted)).await?;
        let mut stopped = None;
        for worker in workers {
            stopped = stopped.or(worker.await?.err());
        }
        bar.finish_and_clear();
        say(counts.told())?;
        if let Some(reason) = stopped {
            return Err(format!("{reason}\nRun it again: rows that are there are passed over").into());
        }
        read.map_err(|error| named(&error))?;
        match counts.refused.load(Relaxed) {
            0 => Ok(()),
            refused => Err(format!("{refused} rows were refused").into()),
        }
    }
}

impl Counts {
    fn told(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let mut told = format!(
            "{} rows posted, {} were there already, {} are of no remediation\n",
            count(&self.posted),
            count(&self.replayed),
            count(&self.left_out)
        );
        for reason in self.reasons.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter() {
            told += &format!("refused {reason}\n");
        }
        told
    }
}

/// Standard input as a file, which can be read twice.
fn spooled() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}

fn learn(file: File, cluster: String) -> Result<Known, DumpError> {
    let mut known = Known::new(cluster);
    dump::read(dump::open(file)?, Table::of, |table, row| {
        known.learn(table, &row);
        true
    })?;
    Ok(known)
}

fn read(file: File, known: &Known, lanes: &[mpsc::Sender<Item>], counts: &Counts) -> Result<(), DumpError> {
    dump::read(dump::open(file)?, Table::of, |table, row| match known.audits(table, &row) {
        Ok(audits) if audits.is_empty() => {
            counts.left_out.fetch_add(u64::from(table == Table::AuditEvents), Relaxed);
            true
        }
        Ok(audits) => {
            let mut hasher = DefaultHasher::new();
            audits[0]["remediationRequestID"].as_str().hash(&mut hasher);
            let lane = usize::try_from(hasher.finish() % lanes.len() as u64).unwrap_or(0); // at most 256
            lanes[lane].blocking_send(Item { line: row.line, audits }).is_ok()
        }
        Err(reason) => {
            counts.refuse(row.line, &reason);
            true
        }
    })
}

/// Posts rows one after the other.
async fn post_all(
    remote: Arc<Remote>,
    mut rows: mpsc::Receiver<Item>,
    counts: Arc<Counts>,
    bar: ProgressBar,
) -> Result<(), String> {
    while let Some(item) = rows.recv().await {
        let mut is_there = true;
        let mut refused = None;
        for audit in &item.audits {
            match post(&remote, audit).await? {
                Posted::New => is_there = false,
                Posted::There => {}
                Posted::Refused(reason) => refused = Some(reason),
            }
        }
        match refused {
            Some(reason) => counts.refuse(item.line, &reason),
            None if is_there => _ = counts.replayed.fetch_add(1, Relaxed),
            None => _ = counts.posted.fetch_add(1, Relaxed),
        }
        bar.inc(1);
    }
    Ok(())
}

enum Posted {
    New,
    There,
    Refused(String),
}

/// Posts an audit, again and again while the service is away or busy. An error is one that the other rows would meet too.
async fn post(remote: &Remote, audit: &Value) -> Result<Posted, String> {
    let body = audit.to_string();
    // A row is there once, also where a later dump tells more of what it is about.
    let key = utf8_percent_encode(audit["importedFrom"].as_str().unwrap_or_default(), CONTROLS).to_string();
    let begun = Instant::now();
    loop {
        let request = remote.request(reqwest::Method::POST, "/api/v1/audit/remediation");
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", &key);
        let answer = request.body(body.clone()).send().await;
        let (reason, wait) = match answer {
            Ok(answer) if answer.status().is_success() => {
                let is_there = answer.headers().contains_key("Idempotent-Replayed");
                return Ok(if is_there { Posted::There } else { Posted::New });
            }
            Ok(answer) => {
                let status = answer.status().as_u16();
                let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let problem: Value = serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default();
                let detail = problem["detail"].as_str().unwrap_or("no reason is given").to_owned();
                match status {
                    422 => return Ok(Posted::There),
                    401 | 403 | 404 => return Err(format!("{detail} ({status})")),
                    408 | 429 | 500.. => (detail, wait.unwrap_or(1)),
                    _ => return Ok(Posted::Refused(detail)),
                }
            }
            Err(error) => (remote.unreachable(&error).to_string(), 1),
        };
        if begun.elapsed() > PATIENCE {
            return Err(reason);
        }
        sleep(Duration::from_secs(wait)).await;
    }
}

/// How many rows are there by now, on a terminal.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} rows, {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
