//! The log: one line for each event, on standard error. The field names are listed in docs/operating.md.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the log, and logs panics through it. Later calls change nothing.
pub fn init(format: LogFormat, level: &str) {
    // Without `level`, libraries that log every start log only warnings, and malformed requests get no lines of their
    // own. `level` can change that. It cannot change the last two directives: these libraries would log what they send
    // and receive, tokens and texts of audits included.
    let filter = EnvFilter::builder().parse_lossy(format!(
        "actix_server=warn,actix_http=off,refinery_core=warn,{level},kube_client=off,tokio_postgres=info"
    ));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = match format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    // An error means that a log is installed already.
    let _ = if pretty {
        builder.with_ansi(wants_colours(&std::io::stderr())).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message of a panic may contain data, so only the place of the panic is logged.
        tracing::error!(at, "panic");
    }));
}

/// Colours are for a terminal that knows them, and for those who did not say no (<https://no-color.org>).
#[allow(clippy::disallowed_methods)] // conventions of terminals, not settings of the service
pub fn wants_colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    stream.is_terminal() && !refused && !is_dumb
}
