//! Which commit the program is built from, and of which day: `DATA_STORAGE_COMMIT` and `DATA_STORAGE_DATE` where they are set, as in a container
//! without the history, else what git says.
#![allow(clippy::disallowed_methods)] // a build reads its environment

use std::process::Command;

fn main() {
    for (name, format) in [("DATA_STORAGE_COMMIT", "%h"), ("DATA_STORAGE_DATE", "%cs")] {
        println!("cargo:rerun-if-env-changed={name}");
        let given = std::env::var(name).ok().filter(|value| !value.is_empty());
        let value = given
            .or_else(|| git(&["log", "-1", &format!("--format={format}")]))
            .unwrap_or_else(|| "unknown".to_owned());
        println!("cargo:rustc-env={name}={value}");
    }
    // Another commit, or another branch.
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]).filter(|path| std::path::Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}
