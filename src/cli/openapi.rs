//! `data-storage openapi`

use super::{CommandError, say};
use crate::openapi::{DOCUMENT, in_3_0};

#[derive(Debug, clap::Args)]
pub struct OpenApiOptions {
    /// Version of the OpenAPI specification
    #[arg(long, value_name = "VERSION", default_value = "3.1")]
    oas: OpenApiVersion,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OpenApiVersion {
    #[value(name = "3.1")]
    Newer,
    /// For generators that do not read 3.1
    #[value(name = "3.0")]
    Older,
}

pub fn run(options: &OpenApiOptions) -> Result<(), CommandError> {
    say(match options.oas {
        OpenApiVersion::Newer => DOCUMENT,
        OpenApiVersion::Older => in_3_0(),
    })
}
