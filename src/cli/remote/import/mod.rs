//! `data-storage import`: the tables of the Go service, row by row as audits of a running service.

mod audit;
mod dump;

use super::{Remote, ServiceOptions};
use crate::cli::{CommandError, say};
use crate::visible::visible;
use audit::{Audit, Known, Table};
use dump::DumpError;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use std::cell::Cell;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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
    audits: Vec<Audit>,
}

#[derive(Default)]
struct Counts {
    posted: AtomicU64,
    replayed: AtomicU64,
    left_out: AtomicU64,
    refused: AtomicU64,
    /// Whether the service has answered: it may be away for a while then.
    is_known: AtomicBool,
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
const WAITING: usize = 4;
/// How often a row is tried that the service fails at.
const TRIES: u32 = 5;
/// Longest pause before a row is tried again, whatever the service says.
const LONGEST_PAUSE: u64 = 30;

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
            told += &format!("refused {}\n", visible(reason).replace('\n', " "));
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
    let is_there = Cell::new(false);
    let wanted = |name: &str| {
        let table = Table::of(name);
        is_there.set(is_there.get() || matches!(table, Some(Table::ActionTraces | Table::AuditEvents)));
        table
    };
    dump::read(dump::open(file)?, wanted, |table, row| {
        known.learn(table, &row);
        true
    })?;
    if is_there.get() { Ok(known) } else { Err(DumpError::NoTable) }
}

fn read(file: File, known: &Known, lanes: &[mpsc::Sender<Item>], counts: &Counts) -> Result<(), DumpError> {
    dump::read(dump::open(file)?, Table::of, |table, row| match known.audits(table, &row) {
        Ok(audits) if audits.is_empty() => {
            counts.left_out.fetch_add(u64::from(table == Table::AuditEvents), Relaxed);
            true
        }
        Ok(audits) => {
            let mut hasher = DefaultHasher::new();
            audits[0].request().hash(&mut hasher);
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
            match post(&remote, audit, &counts.is_known).await? {
                Posted::New => is_there = false,
                Posted::There => {}
                Posted::Refused(reason) => {
                    // No beginning without its end, and no end without its beginning.
                    refused = Some(reason);
                    break;
                }
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
async fn post(remote: &Remote, audit: &Audit, is_known: &AtomicBool) -> Result<Posted, String> {
    let body = audit.body();
    // A row is there once, also where a later dump tells more of what it is about.
    let key = utf8_percent_encode(audit.source(), CONTROLS).to_string();
    let (begun, mut tries) = (Instant::now(), 0);
    loop {
        tries += 1;
        let request = remote.request(reqwest::Method::POST, "/api/v1/audit/remediation");
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", &key);
        let (reason, wait) = match request.body(body.clone()).send().await {
            Ok(answer) => {
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                let told: Value = serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default();
                let detail = told["detail"].as_str().unwrap_or("no reason is given").to_owned();
                is_known.fetch_or(status == 201, Relaxed);
                match status {
                    201 if told["auditID"].is_string() => {
                        let is_there = headers.contains_key("Idempotent-Replayed");
                        return Ok(if is_there { Posted::There } else { Posted::New });
                    }
                    422 if told["error"] == "idempotency_key_reused" => return Ok(Posted::There),
                    400 | 413 | 422 => return Ok(Posted::Refused(detail)),
                    // Perhaps the service stumbles over this row.
                    500 if tries >= TRIES => return Ok(Posted::Refused(detail)),
                    408 | 429 | 500.. => {
                        let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                        (detail, wait.unwrap_or(1).min(LONGEST_PAUSE))
                    }
                    401 | 403 => return Err(format!("{detail} ({status})")),
                    _ => return Err(format!("this is no data-storage: it answered {status}")),
                }
            }
            Err(error) if error.is_builder() || !is_known.load(Relaxed) => {
                return Err(remote.unreachable(&error).to_string());
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
