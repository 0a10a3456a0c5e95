//! `data-storage check`

use super::{CommandError, PATIENCE, databases, tokens};
use crate::config::{Config, DatabaseConfigs};
use crate::embedded::Embedded;
use crate::tls::Tls;
use data_storage_actors::auth::{AccessRules, check_cluster};
use data_storage_actors::check::check_database;
use data_storage_actors::db::connect;
use data_storage_actors::migrate::{Schema, refuse_distributed};
use data_storage_actors::totals::{compare, repair};
use std::net::TcpListener;

#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    /// Compare the kept totals with the incidents instead
    #[arg(long)]
    pub totals: bool,
    /// Correct totals that are wrong, beside live traffic
    #[arg(long, requires = "totals")]
    pub repair: bool,
    #[command(flatten)]
    pub options: super::Options,
}

/// Says of each part whether it works, or compares the totals. Fails when a part does not work, or a total is wrong.
pub async fn run(config: Config, totals: bool, repair: bool) -> Result<(), CommandError> {
    let (databases, embedded) = databases::open(&config).await?;
    let result = match totals {
        true => check_totals(&databases, repair).await,
        false => check_parts(&config, &databases, embedded.as_ref()).await,
    };
    if let Some(embedded) = embedded {
        embedded.stop(PATIENCE).await;
    }
    result
}

async fn check_parts(
    config: &Config,
    databases: &DatabaseConfigs,
    embedded: Option<&Embedded>,
) -> Result<(), CommandError> {
    let (mut tried, mut failed) = (0, 0);
    let mut say = |part: &str, result: Result<String, String>| {
        tried += 1;
        match result {
            Ok(found) => println!("ok      {part}: {found}"),
            Err(fault) => {
                failed += 1;
                println!("FAILED  {part}: {fault}");
            }
        }
    };
    let connections = config.pools.sum();
    say("write database", check_database(&databases.write, Schema::Audit, connections).await);
    say("read database", check_database(&databases.read, Schema::Audit, connections).await);
    say("vector database", check_database(&databases.vector, Schema::Vector, connections).await);
    let tokens = tokens::open(config, embedded).map(|(_, file)| match file {
        Some(file) => file.display().to_string(),
        None => "reviewed by the Kubernetes API".to_owned(),
    });
    say("tokens", tokens.map_err(|error| error.to_string()));
    if let Some(cluster) = &config.auth.cluster {
        say("Kubernetes API", check_cluster(cluster, matches!(config.auth.access, AccessRules::Rbac { .. })).await);
    }
    if let Some(engine) = config.embedder.engine() {
        let answer = engine.check().await.map(|()| format!("{} answers", engine.space().id));
        say("embedder", answer.map_err(|error| error.to_string()));
    }
    if let Some(files) = &config.tls {
        say("TLS", Tls::load(files.clone()).map(|_| files.cert.display().to_string()));
    }
    for (part, address) in [("LISTEN_ADDR", config.listen_addr), ("METRICS_ADDR", config.metrics_addr)] {
        let bound = TcpListener::bind(address).map(|_| address.to_string());
        say(part, bound.map_err(|error| format!("{address} cannot be bound: {error}")));
    }
    if failed > 0 { Err(format!("{failed} of {tried} parts do not work").into()) } else { Ok(()) }
}

async fn check_totals(databases: &DatabaseConfigs, mend: bool) -> Result<(), CommandError> {
    refuse_distributed(&connect(&databases.write).await?, Schema::Audit).await?;
    let deviations = compare(&databases.write).await?;
    for deviation in &deviations {
        let values =
            deviation.values.iter().map(|value| value.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(", ");
        println!("{:+} {values}", deviation.missing);
    }
    match (deviations.len(), mend) {
        (0, _) => println!("ok      totals: exact"),
        (_, true) => {
            repair(&databases.write).await?;
            println!("mended  totals");
        }
        (wrong, false) => return Err(format!("{wrong} totals are wrong; --repair mends them").into()),
    }
    Ok(())
}
