//! `data-storage check`

use super::{CommandError, PATIENCE, databases, say, tokens};
use crate::config::{Config, ConfigError, DatabaseConfigs};
use crate::embedded::Embedded;
use crate::tls::Tls;
use data_storage_actors::auth::{AccessRules, check_cluster};
use data_storage_actors::check::{Obstacle, check_database};
use data_storage_actors::db::store_identity::{self, Foreign, Side, StoreIdentity};
use data_storage_actors::db::{ConnectError, DatabaseConfig, connect};
use data_storage_actors::domain::time::format_rfc3339;
use data_storage_actors::migrate::{Placement, Schema};
use data_storage_actors::totals::{compare, repair};
use serde_json::json;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[derive(Debug, clap::Args)]
pub struct CheckOptions {
    /// Compare the kept totals with the incidents instead
    #[arg(long)]
    pub totals: bool,
    /// Correct totals that are wrong, beside live traffic
    #[arg(long, requires = "totals")]
    pub repair: bool,
    /// Print the parts as JSON
    #[arg(long, conflicts_with = "totals")]
    pub json: bool,
    #[command(flatten)]
    pub options: super::Options,
}

/// Says of each part whether it works, or compares the totals. Fails when a part does not work, or a total is wrong.
///
/// `tokens`: why the tokens cannot be used, where that was found out already.
pub async fn run(config: Config, options: &CheckOptions, tokens: Vec<ConfigError>) -> Result<(), CommandError> {
    let (databases, embedded) = databases::open(&config).await?;
    let result = match options.totals {
        true => check_totals(&databases, options.repair).await,
        false => check_parts(&config, &databases, embedded.as_ref(), tokens, options.json).await,
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
    wrong_tokens: Vec<ConfigError>,
    as_json: bool,
) -> Result<(), CommandError> {
    let (mut tried, mut failed) = (Vec::new(), 0);
    let mut tell = |part: &str, result: Result<String, String>| {
        failed += usize::from(result.is_err());
        match &result {
            _ if as_json => {}
            Ok(found) => println!("ok      {part}: {found}"),
            Err(fault) => println!("FAILED  {part}: {fault}"),
        }
        let is_ok = result.is_ok();
        tried.push(json!({"part": part, "ok": is_ok, "detail": result.unwrap_or_else(|fault| fault)}));
    };
    let connections = config.pools.sum();
    let store = StoreIdentity::default();
    for (part, database, schema, side) in [
        ("write database", &databases.write, Schema::Audit, Side::Audit),
        ("read database", &databases.read, Schema::Audit, Side::Audit),
        ("vector database", &databases.vector, Schema::Vector, Side::Vector),
    ] {
        let checked = match check_database(database, schema, connections).await {
            Ok(found) => check_store(database, side, &store, &databases.write).await.map(|()| found),
            Err(fault) => Err(fault),
        };
        tell(part, checked);
    }
    if wrong_tokens.is_empty() {
        let tokens = tokens::open(config, embedded).map(|(_, file)| match file {
            Some(file) => file.display().to_string(),
            None => "reviewed by the Kubernetes API".to_owned(),
        });
        tell("tokens", tokens.map_err(|error| error.to_string()));
    }
    for fault in wrong_tokens {
        tell("tokens", Err(fault.to_string()));
    }
    if let Some(cluster) = &config.auth.cluster {
        tell("Kubernetes API", check_cluster(cluster, matches!(config.auth.access, AccessRules::Rbac { .. })).await);
    }
    if let Some(engine) = config.embedder.engine() {
        let answer = engine.check().await.map(|()| format!("{} answers", engine.space().id));
        tell("embedder", answer.map_err(|error| error.to_string()));
    }
    if let Some(files) = &config.tls {
        tell("TLS", Tls::load(files.clone()).map(|_| files.cert.display().to_string()));
    }
    for (part, address) in [("LISTEN_ADDR", config.listen_addr), ("METRICS_ADDR", config.metrics_addr)] {
        let bound = match TcpListener::bind(address) {
            Ok(_) => Ok(address.to_string()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => who_answers(address).await,
            Err(error) => Err(format!("{address} cannot be bound: {error}")),
        };
        tell(part, bound);
    }
    if as_json {
        say(format!("{:#}\n", json!({"ok": failed == 0, "parts": tried})))?;
    }
    if failed > 0 { Err(format!("{failed} of {} parts do not work", tried.len()).into()) } else { Ok(()) }
}

/// Whether a database belongs to the store of the write database, as far as both have a name.
async fn check_store(
    database: &DatabaseConfig,
    side: Side,
    store: &StoreIdentity,
    write: &DatabaseConfig,
) -> Result<(), String> {
    let target = database.target();
    let checked = async {
        let own = store.learn(write).await?;
        let found = store_identity::identity(&connect(database).await?, side).await?;
        Ok::<_, ConnectError>(own.zip(found).filter(|(own, found)| own != found))
    };
    match checked.await {
        Ok(None) => Ok(()),
        Ok(Some((own, found))) => Err(format!("{target}: {}", Obstacle::foreign(Foreign { own, found }))),
        Err(error) => Err(format!("{target}: {error}")),
    }
}

/// Asks who has an address already: beside a running service of this program all is well.
async fn who_answers(address: SocketAddr) -> Result<String, String> {
    let host = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        ip if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect((host, address.port())).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(MOST_OF_AN_ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(ASKED, asked).await {
        Ok(Ok(answer)) if String::from_utf8_lossy(&answer).contains("\"write_database\"") => {
            Ok(format!("{address} is in use by a running data-storage"))
        }
        // A server with TLS hangs up, or answers with an alert.
        Ok(Ok(answer)) if answer.is_empty() || answer.starts_with(b"\x15") => {
            Ok(format!("{address} is in use by a server with TLS, which was not asked further"))
        }
        _ => Err(format!("{address} is in use by another program: end it, or choose another address")),
    }
}

const ASKED: Duration = Duration::from_secs(3);
const MOST_OF_AN_ANSWER: u64 = 64 * 1024;

/// Of wrong totals.
const SHOWN: usize = 100;

async fn check_totals(databases: &DatabaseConfigs, mend: bool) -> Result<(), CommandError> {
    Placement::look(&connect(&databases.write).await?, Schema::Audit).await?.fits(databases.write.distribution())?;
    let deviations = compare(&databases.write).await?;
    for deviation in deviations.iter().take(SHOWN) {
        let values =
            deviation.values.iter().map(|value| value.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(", ");
        println!("{:+} {} {values}", deviation.missing, format_rfc3339(deviation.time));
    }
    if deviations.len() > SHOWN {
        println!("and {} more", deviations.len() - SHOWN);
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
