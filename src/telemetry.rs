//! The log: one line an event, on standard error. The field names are listed in docs/operating.md.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the log, and logs panics through it. Later calls change nothing.
pub fn init(format: LogFormat, level: &str) {
    // Libraries that tell of every start speak only when something is wrong, and every malformed request is no line of
    // its own; `level` may say otherwise. The last two would log what was sent and answered: tokens, and texts of audits.
    let filter = EnvFilter::builder().parse_lossy(format!(
        "actix_server=warn,actix_http=off,refinery_core=warn,{level},kube_client=off,tokio_postgres=info"
    ));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = match format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    // An error means that there is a log already.
    let _ = if pretty {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message of a panic may hold data; the place tells what is needed.
        tracing::error!(at, "panic");
    }));
}
