//! A private PostgreSQL for `--embedded`: found, initialised, started, started again after a crash, stopped.
//!
//! The server listens on a unix socket only, in a folder that only its user may enter, and is as durable as any other.
//! PostgreSQL refuses to run as root; a service that is root runs the server under another user, from programs that this
//! user can reach.

mod command;
mod folders;
mod programs;
mod server;
mod socket;

use backon::{ConstantBuilder, Retryable};
use command::RunAs;
use data_storage_actors::db::DatabaseConfig;
use folders::Folders;
use server::Postgres;
use socket::SocketFolder;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SUPERUSER: &str = "postgres";
const DATABASE: &str = "data_storage";

/// A start tries for two seconds to lock the folder: a program that a killed service was just starting holds the lock of
/// the service for an instant longer.
const LOCK_TRIES: ConstantBuilder = ConstantBuilder::new().with_delay(Duration::from_millis(20)).with_max_times(100);

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL programs: run `make build`, or set EMBEDDED_PG_BIN to the folder of `postgres` and `initdb`"
    )]
    NoPrograms,
    #[error("EMBEDDED_PG_BIN: {0} has no program `postgres`")]
    NotPrograms(PathBuf),
    #[error("EMBEDDED_DIR: another data-storage runs on {0}")]
    InUse(PathBuf),
    #[error("{0} cannot be entered by the user {1}, under whom PostgreSQL runs")]
    Unreachable(PathBuf, String),
    #[error("EMBEDDED_DIR: {0} holds data of PostgreSQL {1}, the programs are {2}")]
    OtherVersion(PathBuf, String, String),
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    #[error("{0} failed: {1}")]
    Program(&'static str, String),
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
}

/// A private server that runs. [`Embedded::stop`] stops it; if this process dies before, the system does (on Linux).
pub struct Embedded {
    folders: Folders,
    socket: SocketFolder,
    /// Set to the patience for the end.
    stopping: watch::Sender<Option<Duration>>,
    keeper: JoinHandle<()>,
    /// Of the folder of the data.
    _lock: File,
}

impl Embedded {
    /// Starts the server on the data in `dir`, a folder that is made where it is missing.
    ///
    /// # Errors
    /// The reason why the server does not start, with the name of the folder.
    pub async fn start(dir: Option<&Path>, programs: Option<&Path>) -> Result<Self, EmbeddedError> {
        let dir = dir.unwrap_or_else(|| Folders::default_dir());
        let run_as = RunAs::choose(dir);
        let bin = programs::find(programs, &run_as)?;
        let folders = Folders::make(dir, &run_as)?;
        let lock = lock(folders.dir()).await?;
        run_as.check_reach(&folders.data_parent())?;
        run_as.check_reach(&bin)?;
        let socket = SocketFolder::make(folders.dir(), &run_as)?;
        let (folder, socket_folder) = (folders.dir().display(), socket.path().display());
        tracing::info!(%folder, %socket_folder, user = run_as.name(), "embedded PostgreSQL");
        let postgres = Arc::new(Postgres { bin, folders: folders.clone(), socket: socket.path().to_owned(), run_as });
        postgres.init().await?;
        let child = postgres.start().await?;
        let (stopping, stopped) = watch::channel(None);
        // On this thread, since the system ends the server together with the thread that started it.
        let keeper = actix::spawn(async move { postgres.keep(child, stopped).await });
        Ok(Embedded { folders, socket, stopping, keeper, _lock: lock })
    }

    /// The folder of the data, tokens and log.
    pub fn dir(&self) -> &Path {
        self.folders.dir()
    }

    /// The folder of the server's socket.
    pub fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// The way to the database of the service.
    pub fn database(&self) -> DatabaseConfig {
        DatabaseConfig::on_socket(self.socket.path(), SUPERUSER, DATABASE)
    }

    /// Stops the server: in order, or by force after this time.
    pub async fn stop(self, patience: Duration) {
        self.stopping.send_replace(Some(patience));
        // The keeper ends with the server; it does not panic.
        let _ = self.keeper.await;
        self.socket.remove();
        tracing::info!("embedded PostgreSQL stopped");
    }
}

/// Only one service runs on a folder.
async fn lock(dir: &Path) -> Result<File, EmbeddedError> {
    let path = dir.join("data-storage.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| EmbeddedError::Folder(path.clone(), error))?;
    let try_lock = async || file.try_lock();
    let locked = try_lock.retry(LOCK_TRIES).when(|error| matches!(error, TryLockError::WouldBlock)).await;
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(EmbeddedError::Folder(path, error)),
    }
}
