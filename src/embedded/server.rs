//! The server process: initialised, started, watched, stopped.

use super::command::RunAs;
use super::folders::Folders;
use super::{DATABASE, EmbeddedError, SUPERUSER};
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
    pub run_as: RunAs,
}

const OLDEST_MAJOR: u32 = 16;
/// After a crash the server reads its log again before it answers.
const START_PATIENCE: Duration = Duration::from_secs(300);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const LAST_PATIENCE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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

    /// Ends a server that an earlier process of ours left behind; it may be ending already. Its lock files are taken away when
    /// nobody works in the data folder any more: PostgreSQL itself takes a process that nobody has buried for a living one.
    pub async fn stop_leftover(&self) -> Result<(), EmbeddedError> {
        let data = self.folders.data();
        let pid_file = data.join("postmaster.pid");
        if !pid_file.exists() || !Path::new("/proc/self/cwd").exists() {
            return Ok(());
        }
        if let Some(pid) = postmaster(&pid_file).filter(|pid| works_in(*pid, &data)) {
            tracing::info!(pid, "stopping the server that was left behind");
            let mut stop = self.program("pg_ctl");
            stop.args(["stop", "-m", "fast", "-w", "-t", "60", "-D"]).arg(&data);
            let stopped = run("pg_ctl stop", stop).await;
            if works_in(pid, &data) {
                return stopped.map(|_| ());
            }
        }
        let until = Instant::now() + STOP_PATIENCE;
        while let Some(pid) = anyone_in(&data) {
            if Instant::now() > until {
                return Err(EmbeddedError::NotStarted(format!("process {pid} still works in {}", data.display())));
            }
            sleep(Duration::from_millis(20)).await;
        }
        for file in [pid_file, self.folders.socket().join(".s.PGSQL.5432.lock")] {
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
        // Who may enter the folder of the socket may administer the server; nobody comes over a network.
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
        self.stop_leftover().await?;
        let mut child = self.spawn()?;
        let server = DatabaseConfig::on_socket(self.folders.socket(), SUPERUSER, "postgres");
        let until = Instant::now() + START_PATIENCE;
        let mut pause = Duration::from_millis(10);
        loop {
            let attempt = create_database(&server, DATABASE).await;
            let Err(error) = attempt else { return Ok(child) };
            if let Ok(Some(status)) = child.try_wait() {
                return Err(EmbeddedError::NotStarted(format!("{status}; {}", self.last_words())));
            }
            if Instant::now() > until {
                end(&mut child, STOP_PATIENCE).await;
                return Err(EmbeddedError::NotStarted(error.to_string()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    fn spawn(&self) -> Result<Child, EmbeddedError> {
        let log = self.start_log();
        let fault = |error| EmbeddedError::Folder(log.clone(), error);
        // Others may own this folder: a link of theirs is not followed.
        let options = OFlags::NOFOLLOW.bits() as i32; // a flag of the system, as an int
        let out = fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .custom_flags(options)
            .open(&log)
            .map_err(fault)?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.folders.data()).arg("-k").arg(self.folders.socket());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fault)?).stderr(out);
        // Not in our group: an interrupt from a terminal is for the service, which stops the server in its turn.
        command.process_group(0);
        end_with_parent(&mut command);
        Command::from(command).kill_on_drop(true).spawn().map_err(|error| EmbeddedError::NotStarted(error.to_string()))
    }

    /// Where the server writes until its own log is open.
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

    /// Watches the server, starts it again when it ends by itself, and ends it when it is told to, and how patiently.
    pub async fn keep(&self, mut child: Child, mut stopping: watch::Receiver<Option<Duration>>) {
        loop {
            tokio::select! {
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(status, "embedded PostgreSQL ended by itself; starting it again");
                }
                patience = told(&mut stopping) => return end(&mut child, patience).await,
            }
            let mut pause = Duration::from_millis(100);
            child = loop {
                // Dropped in the middle, a start ends what it started.
                tokio::select! {
                    started = self.start() => match started {
                        Ok(child) => break child,
                        Err(error) => tracing::error!(%error, "embedded PostgreSQL does not start"),
                    },
                    _ = told(&mut stopping) => return,
                }
                if timeout(pause, told(&mut stopping)).await.is_ok() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
        }
    }
}

/// The patience for the end, once it is wanted; none when nobody is left to say so.
async fn told(stopping: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopping.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// Fast shutdown (running transactions are rolled back, a checkpoint is written), then at once, then by force.
async fn end(child: &mut Child, patience: Duration) {
    for (signal, patience) in [(Signal::INT, patience), (Signal::QUIT, LAST_PATIENCE), (Signal::KILL, LAST_PATIENCE)] {
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may be gone already.
            let _ = kill_process(pid, signal);
        }
        if timeout(patience, child.wait()).await.is_ok() {
            return;
        }
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

/// Whether a process works in this folder, as every process of a server does in its data folder.
fn works_in(pid: u32, data: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data)
}

/// A process that works in this folder, if there is one.
fn anyone_in(data: &Path) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| works_in(*pid, data))
}

/// Runs a program to its end; returns what it says.
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
    // SAFETY: the closure makes one system call and allocates nothing, as code after a fork must.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
            Ok(())
        });
    }
}

/// Elsewhere the next start stops what was left behind.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut std::process::Command) {}
