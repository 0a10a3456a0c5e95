use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    data_storage::cli::run(data_storage::cli::Cli::parse())
}
