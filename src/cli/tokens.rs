//! The static tokens: those of a file, or random ones for a private service.

use super::CommandError;
use crate::config::Config;
use crate::embedded::Embedded;
use data_storage_actors::auth::StaticTokens;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const WRITERS: [&str; 4] =
    ["gateway-sa", "aianalysis-controller-sa", "kubernetes-executor-sa", "workflowexecution-controller-sa"];

/// The token file; with a private database and none given, one with random tokens for the four writers.
pub fn file(config: &Config, embedded: Option<&Embedded>) -> Result<PathBuf, CommandError> {
    match (&config.auth_tokens_file, embedded) {
        (Some(file), _) => Ok(file.clone()),
        (None, Some(embedded)) => {
            let file = embedded.dir().join("tokens.csv");
            make(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            Ok(file)
        }
        // `Config::parse` asks for the file.
        (None, None) => Err("AUTH_TOKENS_FILE is needed".into()),
    }
}

pub fn read(file: &Path) -> Result<StaticTokens, CommandError> {
    let text = fs::read_to_string(file).map_err(|error| format!("AUTH_TOKENS_FILE: {}: {error}", file.display()))?;
    Ok(StaticTokens::parse(&text).map_err(|error| format!("AUTH_TOKENS_FILE: {}: {error}", file.display()))?)
}

/// Writes a new file, whole or not at all; one that is there stays.
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
