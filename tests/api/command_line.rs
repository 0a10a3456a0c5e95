//! The commands that ask a running service, and what a person sees of them.

use crate::support::{self, Service, Writer, gateway_audit, server};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

fn data_storage(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-storage"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    data_storage(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What a command prints that works, with the service's URL; it runs beside the test's own tasks.
async fn told(service: &Service, arguments: &[&str], input: &str) -> String {
    let output = asked(service, arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn asked(service: &Service, arguments: &[&str], input: &str) -> Output {
    let mut command = data_storage(arguments);
    command.env("DATA_STORAGE_URL", service.url("")).env("DATA_STORAGE_TOKEN", Writer::Gateway.token());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that reads nothing may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("no panic")
}

/// What a command writes to a terminal of this width.
async fn seen(service: &Service, width: u16, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("granted");
    unlockpt(&controller).expect("unlocked");
    tcsetwinsize(&controller, Winsize { ws_row: 40, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
    let name = ptsname(&controller, Vec::new()).expect("a name").into_string().expect("UTF-8");
    let terminal = || File::options().read(true).write(true).open(&name).expect("it opens");
    let mut command = data_storage(arguments);
    command.env("DATA_STORAGE_URL", service.url("")).env("TERM", "xterm-256color").envs(environment.iter().copied());
    let mut child = command.stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().expect("it runs");
    drop(command); // and with it its side of the terminal
    let read = tokio::task::spawn_blocking(move || {
        let (mut seen, mut part, mut file) = (Vec::new(), [0; 4096], File::from(controller));
        // The end of a terminal is an error.
        while let Ok(n @ 1..) = file.read(&mut part) {
            seen.extend_from_slice(&part[..n]);
        }
        assert!(child.wait().expect("it ends").success(), "{}", text(&seen));
        seen
    });
    text(&read.await.expect("no panic"))
}

/// Without the escape sequences that colour a text.
fn plain(seen: &str) -> String {
    let mut plain = String::new();
    let mut rest = seen;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').expect("a colour").1;
    }
    plain + rest
}

async fn filled() -> (Service, crate::support::Database) {
    let (service, database) = Service::start().await;
    for n in 0..7 {
        let mut audit = gateway_audit(&format!("rr-{n}"));
        audit["createdAt"] = format!("2026-11-0{}T10:00:00Z", n + 1).into();
        audit["actionType"] = "scale".into();
        audit["targetResource"] = format!("deployment/web-frontend-of-the-shop-{n}").into();
        audit["status"] = ["completed", "failed"][n % 2].into();
        audit["errorMessage"] = "pods exit with code 137 after each start".into();
        service.post(Writer::Gateway, &audit).await.audit_id();
    }
    let step = json!({"workflowID": "wf/1", "stepName": "scale", "stepStatus": "completed",
        "executedAt": "2026-11-01T10:00:05Z", "durationMs": 1500, "remediationRequestID": "rr-0"});
    service.post_step(&step).await.audit_id();
    (service, database)
}

#[tokio::test]
async fn a_service_is_asked_by_commands() {
    let (service, _database) = filled().await;

    let list = told(&service, &["incidents", "list"], "").await;
    assert_eq!(list.lines().count(), 8, "{list}");
    assert!(list.starts_with("ID "), "{list}");
    assert!(list.lines().nth(1).is_some_and(|line| line.contains(" 2026-11-07T10:00:00Z ")), "{list}");
    assert!(!list.contains('\x1b'), "{list}");

    // As the API says it.
    let answer: Value =
        serde_json::from_str(&told(&service, &["incidents", "list", "--limit", "3", "--output", "json"], "").await)
            .expect("JSON");
    assert_eq!(answer, service.read("/api/v1/incidents?limit=3").await);
    let all: Value =
        serde_json::from_str(&told(&service, &["incidents", "list", "--all", "-o", "json"], "").await).expect("JSON");
    assert_eq!(all["data"].as_array().map(Vec::len), Some(7));
    let yaml = told(&service, &["incidents", "list", "--status", "failed", "-o", "yaml"], "").await;
    assert_eq!(yaml.matches("execution_status: failed").count(), 3, "{yaml}");
    let both = told(&service, &["incidents", "list", "--status", "failed", "--status", "completed"], "").await;
    assert_eq!(both.lines().count(), 8, "{both}");

    let id = answer["data"][0]["id"].to_string();
    let shown = told(&service, &["incidents", "show", &id], "").await;
    assert!(shown.contains("Request    rr-6\n") && shown.contains("\nError\n  pods exit"), "{shown}");
    let query = "pods exit with code 137";
    let found = crate::support::eventually("the incidents are found", async || {
        let found = told(&service, &["incidents", "search", query, "--status", "completed"], "").await;
        found.contains("\n7 incidents searched").then_some(found)
    })
    .await;
    assert!(found.contains(" completed ") && !found.contains(" failed "), "{found}");
    assert!(found.contains("137"), "{found}");
    let similar = told(&service, &["incidents", "similar", &id, "--limit", "2"], "").await;
    assert_eq!(similar.lines().take_while(|line| !line.is_empty()).count(), 3, "{similar}");

    let steps = told(&service, &["workflows", "show", "wf/1"], "").await;
    assert!(steps.contains("scale") && steps.contains("1.5s"), "{steps}");
    assert_eq!(told(&service, &["workflows", "list"], "").await.lines().count(), 2);
    let audits = told(&service, &["audits", "list", "--type", "workflow"], "").await;
    assert!(audits.lines().nth(1).is_some_and(|line| line.starts_with("2026-11-01T10:00:05Z  workflow ")), "{audits}");
    let rates = told(&service, &["stats", "--group-by", "action_type"], "").await;
    let head: Vec<&str> = rates.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["ACTION", "TRIES", "WORKED", "FAILED", "RECURRED", "RATE", "MEDIAN"]);
    let counts = told(&service, &["stats", "--interval", "day", "--since", "2026-11-01T00:00:00Z"], "").await;
    assert!(counts.contains("2026-11-07T00:00:00Z  1"), "{counts}");
}

#[tokio::test]
async fn audits_are_posted_from_files_and_pipes() {
    let (service, _database) = Service::start().await;
    let audit = gateway_audit("rr-1").to_string();
    let posted = told(&service, &["audits", "post", "-"], &audit).await;
    let id = posted.split_whitespace().next().expect("an id").to_owned();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &audit).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let again = told(&service, &["audits", "post", path], "").await;
    assert!(again.starts_with(&id), "{again} after {posted}");
    let keyed = told(&service, &["audits", "post", path, "--idempotency-key", "key-1"], "").await;
    assert!(!keyed.starts_with(&id), "{keyed} after {posted}");

    let refused = asked(&service, &["audits", "post", "-"], "{\"remediationRequestID\":\"rr\",\"alertName\": 5}").await;
    assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(1), ""));
    assert!(text(&refused.stderr).contains("alertName"), "{}", text(&refused.stderr));
    let missing = asked(&service, &["audits", "post", "no-such-file.json"], "").await;
    assert_eq!(missing.status.code(), Some(1));
    let missing = asked(&service, &["workflows", "show", "wf-none"], "").await;
    assert!(text(&missing.stderr).starts_with("There is no workflow wf-none (404, "), "{}", text(&missing.stderr));
}

#[tokio::test]
async fn a_token_is_taken_from_a_file_and_missed_by_its_name() {
    const READER: &str = "system:serviceaccount:kubernaut-system:gateway-sa";
    let (service, _database) = Service::start_with(&[("AUTH_READS", "true"), ("READERS", READER)]).await;
    let mut command = data_storage(&["incidents", "list"]);
    command.env("DATA_STORAGE_URL", service.url(""));
    let refused = command.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("DATA_STORAGE_TOKEN_FILE"), "{}", text(&refused.stderr));
    // A list of tokens, as the service has it; and an empty variable is as none.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{},user,1\nother,user,2\n", Writer::Gateway.token())).expect("written");
    command.env("DATA_STORAGE_TOKEN_FILE", file.path()).env("DATA_STORAGE_TOKEN", "");
    let answered = command.output().expect("it runs");
    assert!(answered.status.success(), "{}", text(&answered.stderr));
}

#[tokio::test]
async fn tables_fit_the_terminal_and_texts_do_not_steer_it() {
    let (service, _database) = filled().await;
    let mut audit = gateway_audit("rr-escape");
    audit["alertName"] = "Red\u{9b}31mAlert".into();
    audit["actionType"] = "restart".into();
    audit["errorMessage"] = "\u{1b}]0;title\u{7}first line\nsecond\u{202e} line".into();
    audit["status"] = "failed".into();
    service.post(Writer::Gateway, &audit).await.audit_id();

    for width in [80, 100, 160] {
        let seen = seen(&service, width, &["incidents", "list"], &[]).await;
        let plain = plain(&seen);
        assert!(plain.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{plain}");
        assert!(plain.contains("completed") && plain.contains(" ago"), "{plain}");
        assert_eq!(plain.contains("SEVERITY"), width >= 120, "{plain}");
        assert!(seen.contains("\u{1b}["), "{seen:?}");
        assert!(plain.contains("8 of 8"), "{plain}");
        assert!(!plain.contains('\u{9b}'), "{plain:?}");
    }
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let seen = seen(&service, 80, &["incidents", "list"], &[environment]).await;
        assert!(!seen.contains('\u{1b}'), "{environment:?}: {seen:?}");
    }
    let id = service.incident_of("rr-escape").await["id"].to_string();
    let shown = seen(&service, 80, &["incidents", "show", &id], &[("NO_COLOR", "1")]).await;
    assert!(shown.contains("first line") && shown.contains("  second"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']), "{shown:?}");
}

#[test]
fn each_command_tells_of_its_own_flags_alone() {
    let help = |command: &[&str]| text(&run(&[command, &["--help"]].concat()).stdout);
    let migrate = help(&["migrate"]);
    assert!(migrate.contains("--database-url") && migrate.contains("Databases:"), "{migrate}");
    assert!(!migrate.contains("--listen-addr") && !migrate.contains("--embedder"), "{migrate}");
    let search = help(&["incidents", "search"]);
    assert!(search.contains("Examples:") && search.contains("Filters:") && !search.contains("--database"), "{search}");
    assert!(help(&["serve"]).contains("--listen-addr"));
    // A setting that a command does not heed is no error there: it stands in the environment of all.
    let oas = data_storage(&["openapi"]).env("MAX_BODY_BYTES", "nonsense").output().expect("it runs");
    assert!(oas.status.success());

    let version = text(&run(&["--version"]).stdout);
    let commit = version.split_once("(commit ").expect("a commit").1;
    assert!(version.starts_with(concat!("data-storage ", env!("CARGO_PKG_VERSION"), " (commit ")), "{version}");
    assert!(commit.split_once(" of ").is_some_and(|(commit, date)| !commit.is_empty() && date.len() > 2), "{version}");
}

#[test]
fn shells_and_manuals_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&["completions", shell]).stdout);
        assert!(script.contains("idempotency-key") && script.contains("incidents"), "{shell}: {script}");
    }
    // What bash makes of it: `data-storage incidents s<TAB>`.
    let script = text(&run(&["completions", "bash"]).stdout)
        + "\nCOMP_WORDS=(data-storage incidents s); COMP_CWORD=2; _data__storage data-storage s incidents; echo \"${COMPREPLY[@]}\"";
    let completed = Command::new("bash").arg("-c").arg(script).output().expect("bash runs");
    let completed = text(&completed.stdout) + &text(&completed.stderr);
    assert_eq!(completed.trim(), "show similar search");

    // Who reads a part of it is told nothing of broken pipes.
    let program = env!("CARGO_BIN_EXE_data-storage");
    for command in ["openapi", "man", "completions zsh"] {
        let script = format!("{program} {command} | head -c 10; echo \" ${{PIPESTATUS[0]}}\"");
        let part = Command::new("bash").args(["-c", &script]).output().expect("bash runs");
        assert!(part.stdout.ends_with(b" 0\n") && part.stderr.is_empty(), "{command}: {part:?}");
    }

    assert!(text(&run(&["man"]).stdout).contains(".TH data-storage 1"));
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(&["man", "--dir", folder.path().to_str().expect("UTF-8")]).status.success());
    let page = std::fs::read_to_string(folder.path().join("data-storage-incidents-search.1")).expect("a page");
    assert!(page.contains("collapse"), "{page}");
}

#[tokio::test]
async fn exit_codes_tell_what_was_wrong() {
    assert_eq!(run(&["incidents", "list", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(run(&["serve", "--max-body-bytes", "nonsense", "--embedded"]).status.code(), Some(2));
    let away = run(&["stats", "--url", "http://127.0.0.1:1"]);
    assert_eq!(away.status.code(), Some(1));
    assert!(text(&away.stderr).starts_with("http://127.0.0.1:1 does not answer: "), "{}", text(&away.stderr));

    let database = server().database().await;
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), "a-token,user,1\n").expect("written");
    let check = async |url: &str| {
        let mut check = support::data_storage(url, &["check", "--json", "--auth-mode", "static", "--auth-tokens-file"]);
        check.arg(tokens.path()).output().await.expect("it runs")
    };
    let well = check(&database.url).await;
    let parts: Value = serde_json::from_slice(&well.stdout).expect("JSON");
    assert_eq!(parts["ok"], well.status.success(), "{parts}");
    assert!(parts["parts"].as_array().is_some_and(|parts| parts.len() > 5), "{parts}");
    let away = check("postgresql://nobody@127.0.0.1:1/none").await;
    assert_eq!(away.status.code(), Some(1));
    let parts: Value = serde_json::from_slice(&away.stdout).expect("JSON");
    let write = parts["parts"].as_array().expect("parts").iter().find(|part| part["part"] == "write database");
    assert!(write.is_some_and(|part| part["ok"] == false), "{parts}");
}
