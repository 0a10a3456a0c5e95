//! Where the tokens come from: the Kubernetes API, a file, or random tokens for a private service.

use super::CommandError;
use crate::config::{Config, Tokens};
use crate::embedded::Embedded;
use data_storage_actors::auth::{TokenFile, TokenSource};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const WRITERS: [&str; 4] =
    ["gateway-sa", "aianalysis-controller-sa", "kubernetes-executor-sa", "workflowexecution-controller-sa"];

/// Returns where the tokens come from, and the file of static tokens. With a private database and without a token
/// file, makes a file with random tokens for the four writers.
pub fn open(config: &Config, embedded: Option<&Embedded>) -> Result<(TokenSource, Option<PathBuf>), CommandError> {
    let file = match (&config.auth.tokens, embedded) {
        (Tokens::Review { audiences }, _) => {
            return Ok((TokenSource::Review { audiences: audiences.clone() }, None));
        }
        (Tokens::File(file), _) => file.clone(),
        (Tokens::Own, Some(embedded)) => {
            let path = embedded.dir().join("tokens.csv");
            make(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            TokenFile::open(&path)?
        }
        // Cannot happen: `Config::parse` requires the file.
        (Tokens::Own | Tokens::Unused, _) => return Err("AUTH_TOKENS_FILE is needed".into()),
    };
    let path = file.path().to_owned();
    Ok((TokenSource::Static(file), Some(path)))
}

/// Writes a new token file, completely or not at all. A file that is there already stays as it is.
fn make(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut text = String::new();
    for (at, name) in WRITERS.iter().enumerate() {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let groups = "system:serviceaccounts,system:serviceaccounts:kubernaut-system";
        text.push_str(&format!("{token},system:serviceaccount:kubernaut-system:{name},{},\"{groups}\"\n", at + 1));
    }
    let unfinished = file.with_extension("csv.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(unfinished, file)
}
