//! `data-storage openapi`

use std::process::ExitCode;

/// The reviewed document.
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

pub fn run() -> ExitCode {
    print!("{DOCUMENT}");
    ExitCode::SUCCESS
}
