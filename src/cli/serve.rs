//! `data-storage serve`

use super::{CommandError, databases, tokens};
use crate::config::{Config, DatabaseConfigs};
use crate::embedded::Embedded;
use crate::startup::Application;
use data_storage_actors::embedder::EngineFault;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

pub async fn run(config: Config) -> Result<(), CommandError> {
    // The signal handlers come before the start of PostgreSQL, so that no signal is lost in the meantime.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (databases, embedded) = tokio::select! {
        opened = databases::open(&config) => opened?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let result = serve(&config, databases, embedded.as_ref(), async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    if let Some(embedded) = embedded {
        let left = result.as_ref().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        embedded.stop(left).await;
    }
    result.map(|_| ())
}

async fn serve(
    config: &Config,
    databases: DatabaseConfigs,
    embedded: Option<&Embedded>,
    stop: impl AsyncFnMut(),
) -> Result<Instant, CommandError> {
    let (tokens, file) = tokens::open(config, embedded)?;
    match config.embedder.engine() {
        None => {}
        Some(engine) => match engine.check().await {
            Ok(()) => {}
            Err(EngineFault::Settings(fault)) => return Err(format!("EMBEDDER: {fault}").into()),
            // The embedder may answer later. Until then audits wait in the outbox.
            Err(error) => tracing::warn!(%error, "the embedder does not answer yet"),
        },
    }
    let application = Application::build(config, databases, tokens)?;
    let address = application.address();
    let file = file.filter(|_| embedded.is_some());
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let greet = move || {
        if let Some(file) = file {
            println!("{}", example(scheme, address, &file));
        }
    };
    Ok(application.run(stop, greet).await?)
}

/// Commands that work as they stand. They read the token from the file, so the token is not printed.
fn example(scheme: &str, address: SocketAddr, tokens: &Path) -> String {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    let tokens = std::path::absolute(tokens).unwrap_or_else(|_| tokens.to_owned());
    format!(
        "The service is ready. Post an audit:\n\
         curl -sS -X POST {scheme}://{host}:{port}/api/v1/audit/remediation -H 'Content-Type: application/json' \
         -H \"Authorization: Bearer $(awk -F, '/:gateway-sa,/{{print $1}}' '{tokens}')\" \
         -d '{{\"remediationRequestID\":\"rr-abc123\",\"alertName\":\"HighMemoryUsage\",\"namespace\":\"production\",\
         \"cluster\":\"us-west-2\",\"priority\":\"P0\"}}'\n\
         Read it back:\n\
         curl -sS '{scheme}://{host}:{port}/api/v1/incidents?alert_name=HighMemoryUsage&limit=10'",
        port = address.port(),
        tokens = tokens.display(),
    )
}
