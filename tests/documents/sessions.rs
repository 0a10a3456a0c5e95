//! The sessions in the pages, blocks of `console`: each command is run against a service, and what it prints is compared with what the page
//! shows. Ids, times and spaces aside; a line `…` stands for any lines. `RECORD=1 cargo test --test documents sessions` writes what was
//! printed into the pages.

use crate::pages::file;
use crate::support::{Database, Service};
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The addresses of the pages, which belong to somebody else where a test runs.
const API: &str = "127.0.0.1:8080";
const METRICS: &str = "127.0.0.1:9090";
/// The tokens of a service that `make run` has started.
const TOKENS: &str = "data/tokens.csv";

struct Session {
    service: Service,
    database: Database,
    /// Has the program under its name, and what commands leave behind.
    folder: tempfile::TempDir,
}

impl Session {
    async fn begin() -> Self {
        let (service, database) = Service::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_data-storage"), folder.path().join("data-storage"))
            .expect("a link");
        Session { service, database, folder }
    }

    /// What a command prints, with the addresses of the pages.
    async fn run(&self, command: &str) -> String {
        let (api, metrics) = (self.service.address.to_string(), self.service.metrics_address.to_string());
        let tokens = self.service.tokens().to_str().expect("UTF-8");
        let command = command.replace(API, &api).replace(METRICS, &metrics).replace(TOKENS, tokens);
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").expect("a path"));
        let state = self.folder.path().join("state");
        // One shell after the other: what one exports is there in the next.
        let script = format!(
            "if [ -e '{0}' ]; then . '{0}'; fi\n{command}\ncode=$?; export -p > '{0}'; exit $code",
            state.display()
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", path)
            .env("LISTEN_ADDR", &api)
            .env("AUTH_TOKENS_FILE", tokens)
            .env("DATA_STORAGE_URL", self.service.url(""))
            .env("DATABASE_URL", &self.database.url)
            .env("AUTH_MODE", "static")
            .env("MAKEFLAGS", "--no-print-directory --silent")
            .kill_on_drop(true)
            .output()
            .await
            .expect("a shell");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
        said.replace(&api, API).replace(&metrics, METRICS).replace(tokens, TOKENS).trim_end().to_owned()
    }
}

/// A command of a page, which may go on behind a `\` or in a quotation, and what the page shows of its output.
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            if goes_on { step.command += &format!("\n{line}") } else { step.shown.push(line.to_owned()) }
        }
        let is_command = goes_on || line.starts_with("$ ");
        let is_quoted = |step: &Step| step.command.matches('\'').count() % 2 == 1;
        goes_on = is_command && (line.ends_with('\\') || steps.last().is_some_and(is_quoted));
    }
    steps
}

/// Of a text what is the same each time.
fn lasting(text: &str) -> Vec<String> {
    let replaced = [
        (r"\d{4}-\d\d-\d\d(T[0-9:.]+Z)?|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [0-9:]+ GMT", "TIME"),
        (r"(audit|req)-[0-9a-f-]{32,36}", "ID"),
        (r"(rr|wf-rr)-\d{8}-\d+", "ID"),
        (r#""[0-9a-f]{32}""#, "\"TAG\""),
        (r#"("(id|took_ms)": ?)\d+"#, "${1}N"),
        (r"\b\d{3,}\b", "N"),
        (r"[A-Za-z0-9_-]{30,}", "CURSOR"),
        (r"commit [0-9a-f]{7,12} of TIME", "COMMIT"),
    ]
    .map(|(pattern, to)| (Regex::new(pattern).expect("a pattern"), to));
    let lines = text.lines().map(|line| {
        let line = replaced.iter().fold(line.to_owned(), |line, (from, to)| from.replace_all(&line, *to).into_owned());
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.collect()
}

fn agrees(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            (0..=printed.len()).any(|skipped| agrees(rest, &printed[skipped..]))
        }
        (Some((first, shown)), Some((line, printed))) => first == line && agrees(shown, printed),
        _ => false,
    }
}

async fn compare(page: &str) {
    let text = file(page);
    let session = Session::begin().await;
    let (mut written, mut wrong) = (String::new(), Vec::new());
    let mut parts = text.split("```console\n");
    written.push_str(parts.next().expect("a beginning"));
    for part in parts {
        let (block, rest) = part.split_once("```").expect("an end");
        written.push_str("```console\n");
        for step in steps(block) {
            let printed = session.run(&step.command).await;
            let shown = step.shown.join("\n");
            let agrees = agrees(&lasting(&shown), &lasting(&printed));
            let kept = if agrees { shown } else { printed.clone() };
            written.push_str(&format!("$ {}\n{kept}{}", step.command, if kept.is_empty() { "" } else { "\n" }));
            if !agrees {
                wrong.push(format!("$ {}\nshown:\n{}\nprinted:\n{printed}\n", step.command, step.shown.join("\n")));
            }
        }
        written.push_str("```");
        written.push_str(rest);
    }
    if std::env::var_os("RECORD").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(page), written).expect("written");
    } else {
        assert!(wrong.is_empty(), "{page} shows something else:\n{}", wrong.join("\n"));
    }
    assert!(text.contains("```console\n"), "{page} has no session");
}

#[tokio::test]
async fn readme() {
    compare("README.md").await;
}

#[tokio::test]
async fn api() {
    compare("docs/api.md").await;
}

#[tokio::test]
async fn command_line() {
    compare("docs/command-line.md").await;
}

/// What `make run` prints, once it has built the program.
#[tokio::test]
async fn what_make_run_prints() {
    let page = file("README.md");
    let shown = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_data-storage"))
        .args(["serve", "--embedded"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("EMBEDDED_DIR", folder.path().join("data"))
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("METRICS_ADDR", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut printed = String::new();
    for _ in shown.lines() {
        let next = timeout(Duration::from_secs(120), lines.next_line()).await.expect("it is ready");
        printed += &(next.expect("text").expect("a line") + "\n");
    }
    let port = Regex::new(r"127\.0\.0\.1:\d+").expect("a pattern");
    let printed = port.replace_all(&printed, API).replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(printed, shown);
    let pid = Pid::from_raw(child.id().expect("it runs").try_into().expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert!(child.wait().await.expect("its end").success());
}

#[test]
fn sessions_are_told_apart() {
    let steps = steps("$ one \\\n  more\nsaid\n$ two\n");
    assert_eq!(
        (steps[0].command.as_str(), steps[0].shown.as_slice()),
        ("one \\\n  more", ["said".to_owned()].as_slice())
    );
    assert_eq!(steps[1].shown.len(), 0);
    let lines = |text: &str| lasting(text);
    assert!(agrees(&lines("a\n…\nd"), &lines("a\nb\nc\nd")));
    assert!(!agrees(&lines("a\n…\nd"), &lines("a\nb\nc")));
    assert!(!agrees(&lines("at 2026-11-29T10:00:00Z 4711  x"), &lines("at 2025-01-01T00:00:00.5Z 17 x")));
    assert!(agrees(&lines("at 2026-11-29T10:00:00Z 4711  x"), &lines("at 2025-01-01T00:00:00.5Z 171 x")));
    assert!(!agrees(&lines("worked: 3"), &lines("worked: 4")));
}
