//! The server process: initialised, started, watched, stopped.

use super::command::RunAs;
use super::folders::Folders;
use super::socket::SOCKET_LOCK;
use super::{DATABASE, EmbeddedError, SUPERUSER};
use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use data_storage_actors::db::DatabaseConfig;
use data_storage_actors::migrate::create_database;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub struct Postgres {
    pub bin: PathBuf,
    pub folders: Folders,
    /// The folder of the socket.
    pub socket: PathBuf,
    pub run_as: RunAs,
}

const OLDEST_MAJOR: u32 = 16;
/// After a crash the server reads its log again before it answers.
const START_PATIENCE: Duration = Duration::from_secs(300);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const LAST_PATIENCE: Duration = Duration::from_millis(300);
/// A server that was left behind may have a long checkpoint to write before it ends.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(120);
const LEFTOVER_PAUSE: Duration = Duration::from_millis(20);
/// Between two questions whether the server answers.
const ANSWER_PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(10))
    .with_max_delay(Duration::from_millis(200))
    .without_max_times();
/// Between two starts of a server that does not start.
const START_PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// Settings of the server beyond its defaults: on a socket only, room for the pools, a log that does not grow.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=120",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "jit=off",
    "logging_collector=on",
    "log_directory=log",
    "log_filename=postgresql-%a.log",
    "log_truncate_on_rotation=on",
    "log_rotation_age=1d",
    "log_rotation_size=0",
];

impl Postgres {
    fn program(&self, name: &str) -> std::process::Command {
        self.run_as.command(&self.bin.join(name))
    }

    /// Stops the server that an earlier process left behind, and waits for its end. The server may be ending already: it
    /// removes its pid file before its processes are gone, and they hold memory that the next server needs.
    ///
    /// PostgreSQL takes a zombie for a living process. Therefore the lock files are removed here, once no process of a server
    /// is left.
    async fn stop_leftover(&self) -> Result<(), EmbeddedError> {
        if !Path::new("/proc/self/cwd").exists() {
            return Ok(());
        }
        let (data, pid_file) = (self.folders.data(), self.pid_file());
        let (mut told, until) = (None, Instant::now() + LEFTOVER_PATIENCE);
        if server_in(&data).is_some() {
            tracing::info!("stopping the server that was left behind");
        }
        while let Some(pid) = server_in(&data) {
            let postmaster = postmaster(&pid_file).filter(|pid| is_server(*pid, &data));
            if postmaster != told {
                signal(postmaster, Signal::INT);
                told = postmaster;
            }
            if Instant::now() > until {
                return Err(EmbeddedError::NotStarted(format!("process {pid} still works in {}", data.display())));
            }
            sleep(LEFTOVER_PAUSE).await;
        }
        for file in [pid_file, self.socket.join(SOCKET_LOCK)] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(EmbeddedError::Folder(file, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a new cluster, whole or not at all, where there is none.
    pub async fn init(&self) -> Result<(), EmbeddedError> {
        let data = self.folders.data();
        let program = self.major().await?;
        if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
            let version = version.trim().to_owned();
            return if version == program { Ok(()) } else { Err(EmbeddedError::OtherVersion(data, version, program)) };
        }
        let unfinished = self.folders.data_parent().join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| EmbeddedError::Folder(unfinished.clone(), error))?;
        }
        let mut init = self.program("initdb");
        // Whoever may enter the folder of the socket may administer the server. The server listens on no network.
        init.args(["-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C", "-D"]);
        init.arg(&unfinished);
        run("initdb", init).await?;
        fs::rename(&unfinished, &data).map_err(|error| EmbeddedError::Folder(data.clone(), error))
    }

    /// The major version of the programs: 16 or later.
    async fn major(&self) -> Result<String, EmbeddedError> {
        let mut version = self.program("postgres");
        version.arg("--version");
        let words = run("postgres --version", version).await?;
        // "postgres (PostgreSQL) 16.14"
        let major = words.split(' ').nth(2).and_then(|version| version.split('.').next()).unwrap_or_default().trim();
        match major.parse::<u32>() {
            Ok(number) if number >= OLDEST_MAJOR => Ok(major.to_owned()),
            _ => Err(EmbeddedError::Program("postgres --version", format!("this is {words}, 16 or later is needed"))),
        }
    }

    /// Starts the server and waits until it answers.
    pub async fn start(&self) -> Result<Child, EmbeddedError> {
        match self.start_once().await {
            // A killed process may have begun to start a server, which took the folder only now.
            Err(error) if server_in(&self.folders.data()).is_some() => {
                tracing::info!(%error, "another server was faster");
                self.start_once().await
            }
            started => started,
        }
    }

    async fn start_once(&self) -> Result<Child, EmbeddedError> {
        self.stop_leftover().await?;
        let mut child = self.spawn()?;
        let (pid, until) = (child.id(), Instant::now() + START_PATIENCE);
        let server = DatabaseConfig::on_socket(&self.socket, SUPERUSER, "postgres");
        let ask = async || {
            create_database(&server, DATABASE).await.map_err(|error| error.to_string())?;
            let answering = postmaster(&self.pid_file());
            if answering == pid { Ok(()) } else { Err(format!("process {answering:?} answers in its place")) }
        };
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        let answer = ask.retry(ANSWER_PAUSES).when(|_| runs(&mut child) && Instant::now() < until).await;
        let Err(error) = answer else { return Ok(child) };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(EmbeddedError::NotStarted(format!("{status}; {}", self.last_words())));
        }
        end(&mut child, STOP_PATIENCE).await;
        Err(EmbeddedError::NotStarted(error))
    }

    fn spawn(&self) -> Result<Child, EmbeddedError> {
        let log = self.start_log();
        let fault = |error| EmbeddedError::Folder(log.clone(), error);
        // Another user may own this folder and put a link there, which is not followed.
        let options = OFlags::NOFOLLOW.bits() as i32; // a flag of the system, as an int
        let out = fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .custom_flags(options)
            .open(&log)
            .map_err(fault)?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.folders.data()).arg("-k").arg(&self.socket);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fault)?).stderr(out);
        // In a group of its own: an interrupt from a terminal goes to the service, which then stops the server.
        command.process_group(0);
        end_with_parent(&mut command);
        Command::from(command).kill_on_drop(true).spawn().map_err(|error| EmbeddedError::NotStarted(error.to_string()))
    }

    fn pid_file(&self) -> PathBuf {
        self.folders.data().join("postmaster.pid")
    }

    /// The file that the server writes to until its own log is open.
    fn start_log(&self) -> PathBuf {
        self.folders.dir().join("postgres-start.log")
    }

    /// The last lines of both logs.
    fn last_words(&self) -> String {
        let newest = |folder: &Path| {
            let entries = fs::read_dir(folder).ok()?.flatten();
            entries
                .max_by_key(|entry| entry.metadata().and_then(|found| found.modified()).ok())
                .map(|entry| entry.path())
        };
        let own = newest(&self.folders.data().join("log"));
        let files = [Some(self.start_log()), own];
        let texts = files.into_iter().flatten().map(|file| fs::read_to_string(file).unwrap_or_default());
        texts.map(|text| last_lines(&text, 4)).collect::<Vec<_>>().join(" | ")
    }

    /// Watches the server, starts it again when it ends by itself, and ends it once `stopping` says so, within the time that
    /// `stopping` gives.
    pub async fn keep(&self, mut child: Child, mut stopping: watch::Receiver<Option<Duration>>) {
        loop {
            tokio::select! {
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(status, "embedded PostgreSQL ended by itself; starting it again");
                }
                patience = told(&mut stopping) => return end(&mut child, patience).await,
            }
            // A start that is dropped ends the server that it has started.
            child = tokio::select! {
                child = self.start_at_last() => child,
                _ = told(&mut stopping) => return,
            };
        }
    }

    /// Tries to start the server until it starts.
    async fn start_at_last(&self) -> Child {
        let mut pauses = START_PAUSES.build();
        loop {
            match self.start().await {
                Ok(child) => return child,
                Err(error) => tracing::error!(%error, "embedded PostgreSQL does not start"),
            }
            // The pauses have no end.
            sleep(pauses.next().unwrap_or_default()).await;
        }
    }
}

/// Waits until the server is to end. Returns the time that the end may take: none where nobody is left to give one.
async fn told(stopping: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopping.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// A fast shutdown (running transactions are rolled back, a checkpoint is written), then an immediate one, then by force.
async fn end(child: &mut Child, patience: Duration) {
    for (way, patience) in [(Signal::INT, patience), (Signal::QUIT, LAST_PATIENCE), (Signal::KILL, LAST_PATIENCE)] {
        signal(child.id(), way);
        if timeout(patience, child.wait()).await.is_ok() {
            return;
        }
    }
}

/// A process that has ended by now needs no signal.
fn signal(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        let _ = kill_process(pid, signal);
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// The process that a pid file names.
fn postmaster(pid_file: &Path) -> Option<u32> {
    fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether this is a process of a server on this data. All of them work in the data folder.
fn is_server(pid: u32, data: &Path) -> bool {
    let works_here = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data);
    // Another program, like the shell of an operator, may be there too.
    works_here && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("postgres"))
}

/// A process of a server on this data, if there is one.
fn server_in(data: &Path) -> Option<u32> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid| is_server(*pid, data))
}

/// Runs a program to its end; returns its output.
async fn run(name: &'static str, command: std::process::Command) -> Result<String, EmbeddedError> {
    let output = Command::from(command).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| EmbeddedError::Program(name, error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
    Err(EmbeddedError::Program(name, words))
}

/// Has the system stop the server when this process dies, even by SIGKILL.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // `pre_exec` is the only way to run code between fork and exec
fn end_with_parent(command: &mut std::process::Command) {
    let parent = rustix::process::getpid();
    // SAFETY: the closure makes two system calls and allocates nothing, as code after a fork must.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
            // No signal comes for a parent that died before.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(std::io::ErrorKind::Interrupted.into())
            }
        });
    }
}

/// Elsewhere the server goes on when this process dies.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut std::process::Command) {}
