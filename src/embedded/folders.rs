//! The folders of the private server, but for the one of its socket.

use super::EmbeddedError;
use super::command::RunAs;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Folders {
    dir: PathBuf,
}

/// The folder of the data by default: in the working folder, or, for root, in the system's place for such data.
const DEFAULT: &str = "data";
const DEFAULT_AS_ROOT: &str = "/var/lib/data-storage";

impl Folders {
    /// The folder of the data where `EMBEDDED_DIR` is not set.
    pub fn default_dir() -> &'static Path {
        Path::new(if rustix::process::geteuid().is_root() { DEFAULT_AS_ROOT } else { DEFAULT })
    }

    /// Makes the folders that are missing.
    pub fn make(dir: &Path, run_as: &RunAs) -> Result<Self, EmbeddedError> {
        let fault = |error| EmbeddedError::Folder(dir.to_owned(), error);
        // PostgreSQL's user has to pass through this folder to its own folders.
        DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(fault)?;
        let dir = dir.canonicalize().map_err(fault)?;
        let cluster = dir.join("postgres");
        own_folder(&cluster, run_as).map_err(|error| EmbeddedError::Folder(cluster.clone(), error))?;
        Ok(Folders { dir })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of data and log. PostgreSQL's user owns it.
    pub fn data_parent(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub fn data(&self) -> PathBuf {
        self.data_parent().join("data")
    }
}

/// Makes a folder that only PostgreSQL's user may enter. A folder that is there stays as it is.
pub fn own_folder(path: &Path, run_as: &RunAs) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => run_as.own(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
