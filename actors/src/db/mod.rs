//! Connections to PostgreSQL, and what PostgreSQL's errors mean.

pub(crate) mod columns;
pub(crate) mod connection;
pub mod locks;
pub mod pool;
pub(crate) mod pool_state;
pub mod sqlstate;
pub(crate) mod statement;
pub(crate) mod template;
mod tls;
pub mod transaction;

use sqlstate::describe;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tls::TlsOptions;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where a database is, and how to log in. The configuration holds a password, so it is never printed.
#[derive(Clone)]
pub struct DatabaseConfig {
    config: Config,
    tls: MakeRustlsConnect,
}

/// The half of a connection that reads from the socket and writes to it.
pub type Driver = Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

impl DatabaseConfig {
    /// Reads a `postgresql://` URL or a `key=value` string. `sslmode`, `sslrootcert`, `sslcert` and `sslkey` have the
    /// same meaning as in libpq.
    ///
    /// # Errors
    /// What is wrong with the text. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, options) = TlsOptions::take(text)?;
        let mut config = Config::from_str(&rest).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("is not a database URL: {source}"),
            None => "is not a database URL".to_owned(),
        })?;
        if config.get_hosts().is_empty() {
            return Err("names no host".to_owned());
        }
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err("has an sslmode that cannot be read: write it without blanks and quotes".to_owned());
        }
        // As in libpq, a connection over a socket of this machine is not encrypted.
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let tls = if local { TlsOptions::none() } else { options };
        config.ssl_mode(tls.wanted());
        Ok(DatabaseConfig { config: reachable(config), tls: tls.connector()? })
    }

    /// The private database of `serve --embedded`, by the folder of its socket.
    pub fn on_socket(folder: &Path, user: &str, name: &str) -> Self {
        let mut config = Config::new();
        config.host_path(folder).user(user).dbname(name);
        let tls = TlsOptions::none();
        config.ssl_mode(tls.wanted());
        DatabaseConfig { config: reachable(config), tls: tls::unverified() }
    }

    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Result<(Client, Driver), ConnectError> {
        let mut last = ConnectError::Late;
        // Tries one host after the other, each with a limit on the whole attempt. So a host that accepts connections but stays silent does
        // not keep the caller waiting.
        for host in one_by_one(&self.config) {
            let limit = host.get_connect_timeout().copied().unwrap_or(CONNECT) + CONNECT;
            match timeout(limit, host.connect(self.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => last = ConnectError::Database(error),
                Err(_) => last = ConnectError::Late,
            }
        }
        Err(last)
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseConfig")
    }
}

/// A connection of its own for work that needs no pool.
///
/// # Errors
/// When the database cannot be reached.
pub async fn connect(database: &DatabaseConfig) -> Result<Client, ConnectError> {
    let (client, driver) = database.connect().await?;
    // The driver ends with the client. Its error is the error of the client's next statement.
    tokio::spawn(async move { driver.await.ok() });
    Ok(client)
}

/// Why a command could not do its work on a database.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", describe(.0))]
    Statement(#[from] Error),
    #[error(transparent)]
    Transaction(#[from] sqlstate::DatabaseError),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{}", describe(.0))]
    Database(#[from] Error),
    #[error("no answer in time")]
    Late,
}

/// How long a server may take to log the service in.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an idle server may take to answer.
pub(crate) const PROBE: Duration = Duration::from_secs(2);

/// One configuration for each host, with the same settings.
fn one_by_one(config: &Config) -> Vec<Config> {
    let hosts = config.get_hosts();
    if hosts.len() < 2 {
        return vec![config.clone()];
    }
    let (addresses, ports) = (config.get_hostaddrs(), config.get_ports());
    let single = |(at, host): (usize, &Host)| {
        let mut one = Config::new();
        match host {
            Host::Tcp(name) => one.host(name),
            Host::Unix(folder) => one.host_path(folder),
        };
        if let Some(address) = addresses.get(at) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(at).or(ports.first()) {
            one.port(*port);
        }
        config.get_user().map(|user| one.user(user));
        config.get_password().map(|password| one.password(password));
        config.get_dbname().map(|name| one.dbname(name));
        config.get_options().map(|options| one.options(options));
        config.get_connect_timeout().map(|time| one.connect_timeout(*time));
        one.ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding())
            .target_session_attrs(config.get_target_session_attrs());
        reachable(one)
    };
    hosts.iter().enumerate().map(single).collect()
}

/// Makes the service notice within seconds that a connection was silently cut.
fn reachable(mut config: Config) -> Config {
    config
        .application_name("data-storage")
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(10));
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(3));
    }
    config
}
