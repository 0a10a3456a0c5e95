//! `data-storage completions` and `data-storage man`

use super::{CommandError, command, say};
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct CompletionsOptions {
    /// Shell that completes
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManOptions {
    /// Folder for a page of each command, instead of the one page on standard output
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub fn completions(options: &CompletionsOptions) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command(), "data-storage", &mut script);
    // For bash the hyphen of the program's name is written in two ways, which do not meet: <https://github.com/clap-rs/clap/issues/6421>.
    let script = String::from_utf8(script)?.replace("data__subcmd__storage", "data__storage");
    say(script)
}

pub fn man(options: &ManOptions) -> Result<(), CommandError> {
    match &options.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command()).render(&mut page)?;
            say(page)
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            Ok(clap_mangen::generate_to(command(), folder)?)
        }
    }
}
