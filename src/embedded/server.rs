//! The server process: initialised, started, watched, stopped.

use super::command::RunAs;
use super::folders::Folders;
use super::{DATABASE, EmbeddedError, SUPERUSER};
use data_storage_actors::db::socket_database;
use data_storage_actors::migrate::create_database;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::ErrorKind;
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

const MAJOR: &str = "16";
/// After a crash the server reads its log again before it answers.
const START_PATIENCE: Duration = Duration::from_secs(300);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Settings of the server beyond its defaults: on a socket only, room for the pools, a log that does not grow.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=64",
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
                return stopped;
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
        if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
            let version = version.trim().to_owned();
            return if version == MAJOR { Ok(()) } else { Err(EmbeddedError::OtherVersion(data, version)) };
        }
        let unfinished = self.folders.data_parent().join("unfinished");
        let fault = |error| EmbeddedError::Folder(unfinished.clone(), error);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(fault)?;
        }
        let mut init = self.program("initdb");
        init.args(["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"]).arg(&unfinished);
        run("initdb", init).await?;
        fs::write(unfinished.join("pg_hba.conf"), "local all all trust\n").map_err(fault)?;
        fs::rename(&unfinished, &data).map_err(|error| EmbeddedError::Folder(data.clone(), error))
    }

    /// Starts the server and waits until it answers.
    pub async fn start(&self) -> Result<Child, EmbeddedError> {
        self.stop_leftover().await?;
        let mut child = self.spawn()?;
        let server = socket_database(self.folders.socket(), SUPERUSER, "postgres");
        let until = Instant::now() + START_PATIENCE;
        let mut pause = Duration::from_millis(10);
        loop {
            let attempt = create_database(&server, DATABASE).await;
            let Err(error) = attempt else { return Ok(child) };
            if let Ok(Some(status)) = child.try_wait() {
                return Err(EmbeddedError::NotStarted(format!("{status}; {}", self.last_words())));
            }
            if Instant::now() > until {
                self.end(&mut child).await;
                return Err(EmbeddedError::NotStarted(error.to_string()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    fn spawn(&self) -> Result<Child, EmbeddedError> {
        let log = self.start_log();
        let fault = |error| EmbeddedError::Folder(log.clone(), error);
        let out = fs::File::create(&log).map_err(fault)?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.folders.data()).arg("-k").arg(self.folders.socket());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fault)?).stderr(out);
        // Not in our group: an interrupt from a terminal is for the service, which stops the server in its turn.
        command.process_group(0);
        end_with_parent(&mut command);
        Command::from(command).spawn().map_err(|error| EmbeddedError::NotStarted(error.to_string()))
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

    /// Watches the server, starts it again when it ends by itself, and ends it when `stopping` turns true.
    pub async fn keep(&self, mut child: Child, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(status, "embedded PostgreSQL ended by itself; starting it again");
                }
                // An error means that nobody is left to say so.
                _ = stopping.wait_for(|stopping| *stopping) => return self.end(&mut child).await,
            }
            let mut pause = Duration::from_millis(100);
            child = loop {
                match self.start().await {
                    Ok(child) => break child,
                    Err(error) => tracing::error!(%error, "embedded PostgreSQL does not start"),
                }
                if timeout(pause, stopping.wait_for(|stopping| *stopping)).await.is_ok() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
        }
    }

    /// Fast shutdown: running transactions are rolled back, a checkpoint is written.
    async fn end(&self, child: &mut Child) {
        for signal in [Signal::INT, Signal::QUIT] {
            if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                // It may be gone already.
                let _ = kill_process(pid, signal);
            }
            if timeout(STOP_PATIENCE, child.wait()).await.is_ok() {
                return;
            }
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

/// Runs a program to its end.
async fn run(name: &'static str, command: std::process::Command) -> Result<(), EmbeddedError> {
    let output = Command::from(command).stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| EmbeddedError::Program(name, error.to_string()))?;
    if output.status.success() {
        return Ok(());
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
