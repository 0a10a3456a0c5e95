//! Connections to PostgreSQL, and what PostgreSQL's errors mean.

pub(crate) mod columns;
pub(crate) mod connection;
pub mod locks;
pub mod pool;
pub(crate) mod pool_state;
pub mod sqlstate;
pub(crate) mod statement;
pub mod store_identity;
pub mod template;
mod tls;
pub mod transaction;

use sqlstate::describe;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use store_identity::{Expectation, Foreign, Side, StoreIdentity};
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
    /// What the connections of pools must find there.
    expectation: Option<Expectation>,
    /// Set where the tables are distributed over several nodes.
    distribution: Option<Distribution>,
}

/// How the tables of a database are spread over the nodes of Citus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// Shards of each table, 1–1024: a bucket lies in one of them, and a node has at least one.
    pub shards: u32,
    /// Whether flushes go straight to the node that has their shard.
    pub direct: bool,
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
        if let Some(fault) = foreign_form(text) {
            return Err(fault);
        }
        let (rest, options) = TlsOptions::take(text)?;
        let mut config = Config::from_str(&rest).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => match source.to_string().strip_prefix("unknown option `") {
                Some(option) => format!(
                    "has the parameter {}, which is another driver's: leave it out (pools are set by WRITE_POOL_MAX, READ_POOL_MAX, \
                     VECTOR_WRITE_POOL_MAX, VECTOR_READ_POOL_MAX and POOL_MAX_LIFETIME)",
                    option.trim_end_matches('`')
                ),
                None => format!("is not a database URL: {source}"),
            },
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
        Ok(DatabaseConfig { config: reachable(config), tls: tls.connector()?, expectation: None, distribution: None })
    }

    /// The same, for pools that must lead to a store.
    pub fn expecting(self, own: &StoreIdentity, side: Side) -> Self {
        DatabaseConfig { expectation: Some(Expectation { own: own.clone(), side }), ..self }
    }

    /// The same database, with its tables distributed.
    pub fn distributed(self, distribution: Option<Distribution>) -> Self {
        DatabaseConfig { distribution, ..self }
    }

    /// The same database on another host of its cluster, as one whose tables are whole: those of the shards there.
    pub fn on_node(&self, host: &str, port: u16) -> Self {
        let host = Host::Tcp(host.to_owned());
        let mut config = with_host(&self.config, &host, None, Some(port));
        // To Citus the tables of a shard are its own, unless it is told otherwise.
        let options =
            [config.get_options().unwrap_or_default(), "-c citus.enable_manual_changes_to_shards=on"].join(" ");
        config.options(options.trim_start());
        DatabaseConfig { config, tls: self.tls.clone(), expectation: None, distribution: None }
    }

    pub fn distribution(&self) -> Option<Distribution> {
        self.distribution
    }

    /// Host, port and database, without secrets, like `db.example:5432/data_storage`.
    pub fn target(&self) -> String {
        let ports = self.config.get_ports();
        let host = |(at, host): (usize, &Host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        let name = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("{}/{name}", hosts.join(","))
    }

    /// The private database of `serve --embedded`, by the folder of its socket.
    pub fn on_socket(folder: &Path, user: &str, name: &str) -> Self {
        let mut config = Config::new();
        config.host_path(folder).user(user).dbname(name);
        let tls = TlsOptions::none();
        config.ssl_mode(tls.wanted());
        DatabaseConfig { config: reachable(config), tls: tls::unverified(), expectation: None, distribution: None }
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

/// What is wrong with a URL that is written for something else, and how it is written here.
fn foreign_form(text: &str) -> Option<String> {
    const HERE: &str = "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE";
    if text.starts_with(['"', '\'']) && !text.contains(" = ") {
        return Some(format!("is in quotes: leave them out, and {HERE}"));
    }
    let (scheme, _) = text.split_once("://")?;
    match scheme {
        "postgres" | "postgresql" => None,
        _ if scheme.starts_with("jdbc:") => Some(format!("is a JDBC URL: {HERE}")),
        _ if scheme.starts_with("postgresql+") || scheme.starts_with("postgres+") => {
            Some(format!("names a driver of another language behind the +: {HERE}"))
        }
        // A key=value string may have a URL in a value.
        _ if scheme.contains(['=', ' ']) => None,
        _ => Some(format!("is a URL of {scheme}: a PostgreSQL database is needed, and {HERE}")),
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
    #[error("it has no store's name yet")]
    Nameless,
    #[error(transparent)]
    Foreign(#[from] Foreign),
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
    let port = |at: usize| ports.get(at).or(ports.first()).copied();
    let single = |(at, host): (usize, &Host)| with_host(config, host, addresses.get(at).copied(), port(at));
    hosts.iter().enumerate().map(single).collect()
}

/// The same configuration with this host alone.
fn with_host(config: &Config, host: &Host, address: Option<IpAddr>, port: Option<u16>) -> Config {
    let mut one = Config::new();
    match host {
        Host::Tcp(name) => one.host(name),
        Host::Unix(folder) => one.host_path(folder),
    };
    if let Some(address) = address {
        one.hostaddr(address);
    }
    if let Some(port) = port {
        one.port(port);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_have_them_are_told_what_is_wrong() {
        for (text, words) in [
            ("jdbc:postgresql://h/db", "JDBC"),
            ("postgresql+asyncpg://u:secret@h/db", "driver of another language"),
            ("mysql://u:secret@h/db", "is a URL of mysql"),
            ("\"postgresql://u:secret@h/db\"", "in quotes"),
            ("'postgresql://u:secret@h/db'", "in quotes"),
            ("postgresql://u:secret@h/db?pool_max_conns=10", "the parameter pool_max_conns"),
            ("postgresql://u:secret@h/db?schema=public", "the parameter schema"),
            ("postgresql:///db", "names no host"),
        ] {
            let Err(fault) = DatabaseConfig::parse(text) else { panic!("{text} is refused") };
            assert!(fault.contains(words) && !fault.contains("secret"), "{text}: {fault}");
        }
        let target = |text: &str| DatabaseConfig::parse(text).map(|database| database.target());
        assert_eq!(target("postgresql://u:secret@a:1,b:2/db").as_deref(), Ok("a:1,b:2/db"));
        assert_eq!(target("host=h user=u password='x://y'").as_deref(), Ok("h:5432/u"));
        assert_eq!(target("postgres://u@h").as_deref(), Ok("h:5432/u"));
    }
}
