//! The commands of the program, one file each.

mod check;
mod databases;
mod migrate;
mod openapi;
mod reindex;
mod serve;
mod tokens;

use crate::config::{Config, ConfigErrors, Settings};
use std::process::ExitCode;

/// The memory of a cluster that heals itself: audits in, incidents out.
#[derive(Debug, clap::Parser)]
#[command(name = "data-storage", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the service
    Serve(Options),
    /// Bring both databases to the schema of this program
    Migrate(Options),
    /// Test everything that `serve` needs, part by part
    Check(check::CheckOptions),
    /// Make the vector of every audit that has text and none
    Reindex(reindex::ReindexOptions),
    /// Print the OpenAPI document of the REST API
    Openapi(openapi::OpenApiOptions),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Run a private PostgreSQL in EMBEDDED_DIR
    #[arg(long)]
    embedded: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let options = match &cli.command {
        Command::Openapi(options) => return openapi::run(options),
        Command::Check(check) => &check.options,
        Command::Reindex(reindex) => &reindex.options,
        Command::Serve(options) | Command::Migrate(options) => options,
    };
    let with_tokens = match &cli.command {
        Command::Serve(_) => true,
        Command::Check(check) => !check.totals,
        _ => false,
    };
    let parse = |with_tokens| Config::parse(&options.settings, options.embedded, with_tokens);
    // `check` goes on where only the tokens are wrong.
    let (config, wrong_tokens) = match (parse(with_tokens), &cli.command) {
        (Ok(config), _) => (config, Vec::new()),
        (Err(errors), Command::Check(_)) => match parse(false) {
            Ok(config) => (config, errors.0),
            Err(_) => return refuse(&errors),
        },
        (Err(errors), _) => return refuse(&errors),
    };
    crate::telemetry::init(config.log_format, &config.log_level);
    actix_web::rt::System::new().block_on(async {
        let result = match cli.command {
            Command::Serve(_) => serve::run(config).await,
            Command::Migrate(_) => migrate::run(config).await,
            Command::Check(check) => check::run(config, check.totals, check.repair, wrong_tokens).await,
            Command::Reindex(reindex) => reindex::run(config, reindex.no_wait).await,
            Command::Openapi(_) => Ok(()), // returned above
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(2)
}

/// How long a private server may take to stop after a command.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Why a command failed, in a sentence for the operator.
type CommandError = Box<dyn std::error::Error>;
