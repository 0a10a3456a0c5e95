//! The folders of the private server.

use super::EmbeddedError;
use super::command::RunAs;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Folders {
    dir: PathBuf,
    socket: PathBuf,
}

/// Where the data is by default: beside the caller, or, for root, in the place for it.
const DEFAULT: &str = "data";
const DEFAULT_AS_ROOT: &str = "/var/lib/data-storage";

impl Folders {
    /// Where the data is if nobody says otherwise.
    pub fn default_dir() -> &'static Path {
        Path::new(if rustix::process::geteuid().is_root() { DEFAULT_AS_ROOT } else { DEFAULT })
    }

    /// Makes what is missing.
    pub fn make(dir: &Path, run_as: &RunAs) -> Result<Self, EmbeddedError> {
        let fault = |error| EmbeddedError::Folder(dir.to_owned(), error);
        // Others may pass through it, to what is theirs.
        DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(fault)?;
        let dir = dir.canonicalize().map_err(fault)?;
        let cluster = dir.join("postgres");
        own_folder(&cluster, run_as).map_err(|error| EmbeddedError::Folder(cluster.clone(), error))?;
        let socket = socket_folder(&dir, run_as)?;
        Ok(Folders { dir, socket })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of data and log, which is the server's own.
    pub fn data_parent(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub fn data(&self) -> PathBuf {
        self.data_parent().join("data")
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Leaves nothing behind; what is left is used again at the next start.
    pub fn remove_socket(&self) {
        // Gone or not makes no difference.
        let _ = fs::remove_dir_all(&self.socket);
    }
}

/// A folder that is this user's alone.
fn own_folder(path: &Path, run_as: &RunAs) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => run_as.own(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A short path for the socket: the system allows about a hundred bytes. The same folder gets the same one again, unless
/// somebody else has taken its name.
fn socket_folder(dir: &Path, run_as: &RunAs) -> Result<PathBuf, EmbeddedError> {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let path = PathBuf::from(format!("/tmp/data-storage-{name}"));
    own_folder(&path, run_as).map_err(|error| EmbeddedError::Folder(path.clone(), error))?;
    let found = fs::symlink_metadata(&path).map_err(|error| EmbeddedError::Folder(path.clone(), error))?;
    if found.is_dir() && found.uid() == run_as.uid() {
        let fault = |error| EmbeddedError::Folder(path.clone(), error);
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(fault)?;
        return Ok(path);
    }
    let path = PathBuf::from(format!("/tmp/data-storage-{}", &Uuid::new_v4().simple().to_string()[..12]));
    own_folder(&path, run_as).map_err(|error| EmbeddedError::Folder(path.clone(), error))?;
    Ok(path)
}
