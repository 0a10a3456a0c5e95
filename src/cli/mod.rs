//! The commands of the program, one file each.

mod check;
mod databases;
mod manual;
mod migrate;
mod openapi;
mod reindex;
mod remote;
mod serve;
mod tokens;

use crate::config::{Config, ConfigErrors, Settings, headings};
use crate::visible::visible;
use clap::{CommandFactory, FromArgMatches};
use remote::RemoteCommand;
use std::io::{self, Write};
use std::process::ExitCode;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("DATA_STORAGE_COMMIT"),
    " of ",
    env!("DATA_STORAGE_DATE"),
    ")"
);
const EXIT_CODES: &str = "Exit codes: 0 it worked; 1 it did not; 2 the flags or settings are wrong.";
const SERVE_EXAMPLES: &str = "\
Examples:
  data-storage serve --embedded
  DATABASE_URL=postgresql://db/audits AUTH_TOKENS_FILE=tokens.csv AUTH_MODE=static data-storage serve";
const CHECK_EXAMPLES: &str = "\
Examples:
  data-storage check --embedded
  data-storage check --json | jq '.parts[] | select(.ok | not)'
  data-storage check --totals --repair";

/// The memory of a cluster that heals itself: audits in, incidents out.
#[derive(Debug, clap::Parser)]
#[command(name = "data-storage", version = VERSION, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the service
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Options),
    /// Bring both databases to the schema of this program
    Migrate(Options),
    /// Test everything that `serve` needs, part by part
    #[command(after_help = CHECK_EXAMPLES)]
    Check(check::CheckOptions),
    /// Make the vector of every audit that has text and none
    Reindex(reindex::ReindexOptions),
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Print the OpenAPI document of the REST API
    Openapi(openapi::OpenApiOptions),
    /// Print what a shell completes commands and flags by
    Completions(manual::CompletionsOptions),
    /// Print the manual page
    Man(manual::ManOptions),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Run a private PostgreSQL in EMBEDDED_DIR
    #[arg(long)]
    embedded: bool,
    #[command(flatten)]
    settings: Settings,
}

/// The commands, each of which shows the settings that it heeds. The others are no error: they stand in the environment of all.
fn command() -> clap::Command {
    let heeded: [(&str, &[&str]); 2] = [
        ("migrate", &[headings::DATABASES, headings::LOG]),
        ("reindex", &[headings::DATABASES, headings::POOLS, headings::EMBEDDER, headings::LOG]),
    ];
    heeded.into_iter().fold(Cli::command(), |command, (name, heeded)| {
        command.mut_subcommand(name, |command| {
            command.mut_args(|flag| {
                let is_hidden = flag.get_help_heading().is_some_and(|heading| !heeded.contains(&heading));
                flag.hide(is_hidden)
            })
        })
    })
}

/// Runs the command of the process's arguments to its end.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    }
}

fn run(cli: Cli) -> ExitCode {
    let options = match &cli.command {
        Command::Openapi(options) => return ended(openapi::run(options)),
        Command::Completions(options) => return ended(manual::completions(options)),
        Command::Man(options) => return ended(manual::man(options)),
        Command::Remote(command) => {
            return actix_web::rt::System::new().block_on(async { ended(remote::run(command).await) });
        }
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
        ended(match cli.command {
            Command::Serve(_) => serve::run(config).await,
            Command::Migrate(_) => migrate::run(config).await,
            Command::Check(check) => check::run(config, &check, wrong_tokens).await,
            Command::Reindex(reindex) => reindex::run(config, reindex.no_wait).await,
            _ => Ok(()), // returned above
        })
    })
}

fn ended(result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may have words of others.
            eprintln!("{}", visible(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Prints a text. Whoever reads may have had enough, like `head`: that is no fault.
fn say(text: impl AsRef<[u8]>) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(2)
}

/// How long a private server may take to stop after a command.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Why a command failed, in a sentence for the operator.
type CommandError = Box<dyn std::error::Error>;
