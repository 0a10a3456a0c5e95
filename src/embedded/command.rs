//! The user under whom PostgreSQL's programs run, and how the programs are called.

use super::EmbeddedError;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The user of PostgreSQL: the user of this process, or another one where this process is root's.
#[derive(Debug, Clone)]
pub struct RunAs {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether this is another user than the one of this process.
    other: bool,
}

/// The id of the user without any rights, where the system does not name one.
const NOBODY: u32 = 65_534;

impl RunAs {
    /// The user of this process. Root takes another one: the owner of the data in `dir`, else the owner of `dir`, else the user
    /// `postgres`, else `nobody`.
    pub fn choose(dir: &Path) -> Self {
        let me = RunAs::this_user();
        if me.uid != 0 {
            return me;
        }
        let owner_of = |path: &Path| {
            let found = fs::symlink_metadata(path).ok()?;
            Some((found.uid(), found.gid())).filter(|owner| owner.0 != 0)
        };
        let owner = owner_of(&dir.join("postgres")).or_else(|| owner_of(dir));
        let (uid, gid) =
            owner.or_else(|| user_ids("postgres")).or_else(|| user_ids("nobody")).unwrap_or((NOBODY, NOBODY));
        RunAs { name: user_name(uid), uid, gid, other: true }
    }

    pub fn this_user() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        RunAs { name: user_name(uid), uid, gid, other: false }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_other(&self) -> bool {
        self.other
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Gives a file or folder to this user.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        if self.other { std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Fails when this user cannot enter a folder or one of the folders above it.
    pub fn check_reach(&self, folder: &Path) -> Result<(), EmbeddedError> {
        if !self.other {
            return Ok(());
        }
        let folder = folder.canonicalize().map_err(|error| EmbeddedError::Folder(folder.to_owned(), error))?;
        let mut above: Vec<&Path> = folder.ancestors().collect();
        above.reverse();
        for folder in above {
            let found = fs::metadata(folder).map_err(|error| EmbeddedError::Folder(folder.to_owned(), error))?;
            let bit = match found {
                _ if found.uid() == self.uid => 0o100,
                _ if found.gid() == self.gid => 0o010,
                _ => 0o001,
            };
            if found.mode() & bit == 0 {
                return Err(EmbeddedError::Unreachable(folder.to_owned(), self.name.clone()));
            }
        }
        Ok(())
    }

    /// A program, to be run as this user in the folder `/`, which every user can enter. Variables of this process that would
    /// change what PostgreSQL does (`PG…`) are not passed on.
    #[allow(clippy::disallowed_methods)] // no setting is read: what is meant for another PostgreSQL is taken away
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

fn user_ids(name: &str) -> Option<(u32, u32)> {
    uzers::get_user_by_name(name).map(|user| (user.uid(), user.primary_group_id()))
}

/// The user's name, or the number where the system knows no name for it.
fn user_name(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}
