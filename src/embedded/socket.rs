//! The folder of the server's socket: in the folder of the data, where it is used again after a crash. A system allows about
//! 100 bytes for the path of a socket, and some file systems have no sockets; then the folder is in `TMPDIR`, else in `/tmp`,
//! and the next start of any service removes it if this process is killed.

use super::EmbeddedError;
use super::command::RunAs;
use super::folders::own_folder;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// PostgreSQL's names for the socket and its lock file.
const SOCKET: &str = ".s.PGSQL.5432";
pub const SOCKET_LOCK: &str = ".s.PGSQL.5432.lock";
/// A socket with a name as long as PostgreSQL's, to see whether one can be made.
const TRIAL: &str = ".s.PGSQL.test";
/// In a temporary folder: locked by the process that uses the folder, for as long as the process lives.
const LOCK: &str = "lock";
/// The name of a temporary folder: this, and 12 hexadecimal digits.
const PREFIX: &str = "data-storage-";
const DIGITS: usize = 12;
/// After this time nobody is about to lock a temporary folder that has no lock file.
const UNLOCKED_AGE: Duration = Duration::from_secs(24 * 3600);

/// A folder that belongs to PostgreSQL's user, with mode 0700.
#[derive(Debug)]
pub struct SocketFolder {
    path: PathBuf,
    /// Of a temporary folder; the lock ends with the process.
    _lock: Option<File>,
}

impl SocketFolder {
    /// Makes the folder for the server on the data in `dir`, whose lock the caller holds.
    pub fn make(dir: &Path, run_as: &RunAs) -> std::result::Result<Self, EmbeddedError> {
        let roots = temporary_roots();
        for root in &roots {
            remove_stale(root, run_as);
        }
        let own = dir.join("socket");
        let Err(fault) = take(&own, run_as) else { return Ok(SocketFolder { path: own, _lock: None }) };
        // Another user may have taken the first name.
        let names = [name_of(dir), Uuid::new_v4().simple().to_string()[..DIGITS].to_owned()];
        for path in roots.iter().flat_map(|root| names.iter().map(move |name| root.join(format!("{PREFIX}{name}")))) {
            match take_temporary(&path, run_as) {
                Ok(lock) => return Ok(SocketFolder { path, _lock: Some(lock) }),
                Err(error) => tracing::debug!(folder = %path.display(), %error, "no folder for the socket"),
            }
        }
        Err(EmbeddedError::Folder(own, fault))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder of a server that has ended.
    pub fn remove(self) {
        remove(&self.path);
    }
}

/// `TMPDIR`, where it is set, and `/tmp`.
fn temporary_roots() -> Vec<PathBuf> {
    let mut roots = vec![std::env::temp_dir(), PathBuf::from("/tmp")];
    // PostgreSQL would look for a relative path in another working folder.
    roots.retain(|root| root.is_absolute());
    roots.dedup();
    roots
}

/// A name that is the same at each start on the same data.
fn name_of(dir: &Path) -> String {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a folder, or takes the one that is there, and makes sure that the server can listen in it.
fn take(path: &Path, run_as: &RunAs) -> Result<()> {
    // PostgreSQL reads a list of folders, with commas between them and quotes around them.
    if path.as_os_str().as_encoded_bytes().iter().any(|byte| b",\"".contains(byte)) {
        return Err(Error::new(ErrorKind::InvalidInput, "has a comma or a quote"));
    }
    let parent = path.parent().unwrap_or(path);
    run_as.check_reach(parent).map_err(|error| Error::new(ErrorKind::PermissionDenied, error.to_string()))?;
    own_folder(path, run_as)?;
    let folder = open(path, OFlags::DIRECTORY, false)?;
    if folder.metadata()?.uid() != run_as.uid() {
        return Err(Error::new(ErrorKind::PermissionDenied, "belongs to another user"));
    }
    folder.set_permissions(Permissions::from_mode(0o700))?;
    let trial = path.join(TRIAL);
    // A start that was killed may have left it.
    let _ = fs::remove_file(&trial);
    let tried = UnixListener::bind(&trial).map(drop);
    let _ = fs::remove_file(&trial);
    if tried.is_err() {
        // Only an empty folder goes.
        let _ = fs::remove_dir(path);
    }
    tried
}

/// As [`take`], with the lock that keeps other starts from removing the folder.
fn take_temporary(path: &Path, run_as: &RunAs) -> Result<File> {
    take(path, run_as)?;
    lock(path, true)
}

/// Locks a temporary folder that no other process has locked.
fn lock(folder: &Path, create: bool) -> Result<File> {
    let path = folder.join(LOCK);
    let lock = open(&path, OFlags::empty(), create)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::new(ErrorKind::ResourceBusy, "another process uses the folder"),
        TryLockError::Error(error) => error,
    })?;
    // Another start may have removed the file before it was locked.
    if fs::symlink_metadata(&path)?.ino() == lock.metadata()?.ino() {
        Ok(lock)
    } else {
        Err(Error::other("the folder was removed"))
    }
}

/// Opens a file or folder that another user may have put there: no link is followed, and no pipe is waited for.
fn open(path: &Path, flags: OFlags, create: bool) -> Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | flags).bits() as i32; // flags of the system, as an int
    File::options().read(true).write(create).create(create).truncate(false).custom_flags(flags).open(path)
}

/// Removes the temporary folders of services that were killed. A folder stays while a process holds its lock, and
/// while it holds anything that neither PostgreSQL nor this program puts there.
fn remove_stale(root: &Path, run_as: &RunAs) {
    // A folder that cannot be read has nothing that could be removed.
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default();
        if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if !found.is_dir() || found.uid() != run_as.uid() {
            continue;
        }
        match lock(&path, false) {
            Ok(_lock) => remove(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let age = found.modified().ok().and_then(|modified| modified.elapsed().ok());
                if age.is_some_and(|age| age > UNLOCKED_AGE) {
                    // Only an empty folder goes.
                    let _ = fs::remove_dir(&path);
                }
            }
            // In use.
            Err(_) => {}
        }
    }
}

/// Removes a folder and what PostgreSQL and this program put there. What cannot be removed stays for a later start.
fn remove(path: &Path) {
    // The lock goes last: without it the folder would look like one of an earlier version.
    for name in [SOCKET, SOCKET_LOCK, TRIAL, LOCK] {
        let _ = fs::remove_file(path.join(name));
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    /// The folders that a start leaves in a temporary folder.
    fn left(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).expect("a folder").flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn folder(root: &Path, name: &str, files: &[&str]) -> PathBuf {
        let path = root.join(name);
        fs::create_dir(&path).expect("a new folder");
        for file in files {
            fs::write(path.join(file), "").expect("a new file");
        }
        path
    }

    /// This user runs PostgreSQL in these tests, root too.
    fn myself() -> RunAs {
        RunAs::this_user()
    }

    #[test]
    fn a_start_removes_the_folders_that_nobody_uses() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        folder(root, "data-storage-0123456789ab", &[LOCK, SOCKET, SOCKET_LOCK]);
        let used = folder(root, "data-storage-1123456789ab", &[LOCK, SOCKET]);
        let lock = File::open(used.join(LOCK)).expect("the lock");
        lock.lock().expect("the lock is free");
        remove_stale(root, &myself());
        assert_eq!(left(root), ["data-storage-1123456789ab"]);
        assert!(used.join(SOCKET).exists(), "a folder in use stays whole");
        drop(lock);
        remove_stale(root, &myself());
        assert_eq!(left(root), Vec::<String>::new());
    }

    #[test]
    fn a_folder_without_a_lock_stays_for_a_day() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let old = |path: &Path| {
            #[allow(clippy::disallowed_methods)] // the age of a file is told by the machine's clock
            let past = SystemTime::now() - UNLOCKED_AGE - Duration::from_secs(60);
            File::open(path).expect("a folder").set_modified(past).expect("its owner may");
        };
        folder(root, "data-storage-0123456789ab", &[]);
        old(&folder(root, "data-storage-1123456789ab", &[]));
        old(&folder(root, "data-storage-2123456789ab", &[SOCKET]));
        remove_stale(root, &myself());
        assert_eq!(left(root), ["data-storage-0123456789ab", "data-storage-2123456789ab"]);
    }

    #[test]
    fn nothing_else_is_touched() {
        let (root, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let root = root.path();
        let other = folder(elsewhere.path(), "other", &[LOCK, SOCKET]);
        symlink(&other, root.join("data-storage-0123456789ab")).expect("a link");
        let linked = folder(root, "data-storage-1123456789ab", &[]);
        symlink(other.join(LOCK), linked.join(LOCK)).expect("a link");
        folder(root, "data-storage-2123456789ab", &[LOCK, "of-somebody"]);
        folder(root, "data-storage-test-12", &[LOCK]);
        folder(root, "data-storage-none-of-ours", &[LOCK]);
        folder(root, "else-0123456789ab", &[LOCK]);
        let before = left(root);
        remove_stale(root, &myself());
        assert_eq!(left(root), before);
        assert_eq!(left(&other), [SOCKET, LOCK], "links are not followed");
        assert!(root.join("data-storage-2123456789ab/of-somebody").exists());
    }

    #[test]
    fn a_folder_is_used_again_and_never_shared() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("data-storage-0123456789ab");
        let first = take_temporary(&path, &myself()).expect("a new folder");
        assert!(take_temporary(&path, &myself()).is_err(), "another service uses it");
        drop(first);
        drop(take_temporary(&path, &myself()).expect("the same folder"));
        assert_eq!(fs::metadata(&path).expect("the folder").mode() & 0o777, 0o700);
        // A link in its place leads nowhere.
        fs::rename(&path, root.path().join("elsewhere")).expect("a move");
        symlink("elsewhere", &path).expect("a link");
        assert!(take_temporary(&path, &myself()).is_err());
        assert!(take(&root.path().join("a, b"), &myself()).is_err(), "PostgreSQL takes this path for two");
        // The path of a socket in it would be too long.
        let long = root.path().join("a-name-of-twenty-one-".repeat(6));
        assert!(take(&long, &myself()).is_err());
        assert!(!long.exists(), "it leaves nothing behind");
    }
}
