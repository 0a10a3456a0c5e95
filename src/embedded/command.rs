//! Who PostgreSQL's programs run as, and how they are called.

use super::EmbeddedError;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The user of PostgreSQL: ours, or another one where we are root.
#[derive(Debug, Clone)]
pub struct RunAs {
    name: String,
    uid: u32,
    gid: u32,
    other: bool,
}

/// The user that every system has for what may do nothing.
const NOBODY: u32 = 65_534;

impl RunAs {
    /// Root gives way to the owner of the data that is there, else of the folder, else to the user `postgres`, else to `nobody`.
    pub fn choose(dir: &Path) -> Self {
        let me = rustix::process::geteuid().as_raw();
        if me != 0 {
            let gid = rustix::process::getegid().as_raw();
            return RunAs { name: user_name(me), uid: me, gid, other: false };
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

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is another user than ours.
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

    /// Whether this user can enter a folder and all above it.
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

    /// A call of a program as this user, from a folder that it can enter, without the settings of PostgreSQL that our own
    /// environment may have.
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

/// The lines of the user database, as name, uid, gid.
fn users() -> Vec<(String, u32, u32)> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        Some((name, uid, fields.next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn user_ids(name: &str) -> Option<(u32, u32)> {
    users().into_iter().find(|user| user.0 == name).map(|(_, uid, gid)| (uid, gid))
}

fn user_name(uid: u32) -> String {
    users().into_iter().find(|user| user.1 == uid).map_or_else(|| uid.to_string(), |user| user.0)
}
