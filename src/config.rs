//! All settings. clap reads flags and environment variables from one list, as text; they are parsed here. All faults
//! are found before anything starts, and are reported together.

mod auth;
mod mcp;
mod settings;
mod traces;
mod values;

pub use auth::{AuthConfig, Tokens};
pub use mcp::McpConfig;
pub use settings::{Settings, VARIABLES, headings};
pub use traces::{Sampler, TraceConfig};

use crate::middleware::cors::CorsOrigins;
use crate::tls::TlsFiles;
use data_storage_actors::db::{DatabaseConfig, Distribution};
use data_storage_actors::domain::time::TimeWindow;
use data_storage_actors::embedder::{EngineSettings, HttpSettings, Space};
use data_storage_actors::handle::Limits;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use values::{
    MAX_AGE_DAYS, MAX_AHEAD_DAYS, address, bytes, connections, duration, number, permits, positive_duration, time_span,
};

/// One wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {fault}")]
pub struct ConfigError {
    pub variable: &'static str,
    pub fault: String,
}

/// All wrong settings.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The three databases. Two or all of them may be the same database.
#[derive(Clone)]
pub struct DatabaseConfigs {
    pub write: DatabaseConfig,
    pub read: DatabaseConfig,
    pub vector: DatabaseConfig,
}

/// Where PostgreSQL is.
#[derive(Clone)]
pub enum Databases {
    /// A private PostgreSQL, which is not started yet.
    Embedded {
        dir: Option<PathBuf>,
        programs: Option<PathBuf>,
    },
    External(Box<DatabaseConfigs>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Pretty,
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
}

/// Which embedder makes the vectors of audits.
#[derive(Debug, Clone)]
pub enum EmbedderConfig {
    Off,
    Builtin,
    Other(EngineSettings),
}

impl EmbedderConfig {
    /// The space of the vectors that are written; `None` if there is no embedder.
    pub fn space(&self) -> Option<Space> {
        match self {
            EmbedderConfig::Off => None,
            EmbedderConfig::Builtin => Some(Space::builtin()),
            EmbedderConfig::Other(settings) => Some(settings.space()),
        }
    }

    pub fn engine(&self) -> Option<&EngineSettings> {
        match self {
            EmbedderConfig::Other(settings) => Some(settings),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct PoolSizes {
    pub write: u32,
    pub read: u32,
    pub vector_write: u32,
    pub vector_read: u32,
}

impl PoolSizes {
    pub fn sum(&self) -> u32 {
        self.write + self.read + self.vector_write + self.vector_read
    }
}

/// All settings, valid.
#[derive(Clone)]
pub struct Config {
    pub listen_addr: SocketAddr,
    pub metrics_addr: SocketAddr,
    pub databases: Databases,
    pub auth: AuthConfig,
    /// The TLS files of the REST API; `None` means plain HTTP.
    pub tls: Option<TlsFiles>,
    pub pools: PoolSizes,
    pub pool_max_lifetime: Duration,
    pub request_deadline: Duration,
    pub permit_wait: Duration,
    pub write_permits: usize,
    pub read_permits: usize,
    pub search_permits: usize,
    pub shutdown_delay: Duration,
    pub shutdown_grace: Duration,
    pub replay_window: Duration,
    pub max_body_bytes: usize,
    pub flush_max_rows: usize,
    pub flush_max_bytes: usize,
    pub window: TimeWindow,
    pub max_connections: usize,
    pub embedder: EmbedderConfig,
    pub recurrence_window: Duration,
    /// Origins whose pages may use the service.
    pub cors: CorsOrigins,
    /// Whether people may look at `/console/`.
    pub console: bool,
    /// Who may use `/mcp`; `None` if it is taken away.
    pub mcp: Option<McpConfig>,
    /// Where spans of traces go; `None` where no requests are traced.
    pub traces: Option<TraceConfig>,
    pub log_format: LogFormat,
    pub log_level: String,
}

/// The most connections that a process should open, as the source document has it.
pub const CONNECTIONS_CEILING: u32 = 50;

impl Config {
    /// Parses the settings. Without `with_tokens`, the settings of tokens and of TLS are ignored.
    ///
    /// # Errors
    /// Every wrong setting, with the name of its variable.
    pub fn parse(settings: &Settings, embedded: bool, with_tokens: bool) -> Result<Self, ConfigErrors> {
        let mut read = Reader::default();
        let s = settings;
        let config = Config {
            listen_addr: read.or("LISTEN_ADDR", &s.listen_addr, "0.0.0.0:8080", address),
            metrics_addr: read.or("METRICS_ADDR", &s.metrics_addr, "0.0.0.0:9090", address),
            databases: if embedded {
                if read.distribution(s).is_some() {
                    read.fault(
                        "DISTRIBUTE",
                        "is for a database of Citus, and the private one is none: leave out --embedded",
                    );
                }
                let dir = given(&s.embedded_dir).map(PathBuf::from);
                Databases::Embedded { dir, programs: given(&s.embedded_pg_bin).map(PathBuf::from) }
            } else {
                read.databases(s)
            },
            auth: read.auth(s, embedded, with_tokens),
            tls: if with_tokens { read.tls(s) } else { None },
            pools: PoolSizes {
                write: read.or("WRITE_POOL_MAX", &s.write_pool_max, "8", connections),
                read: read.or("READ_POOL_MAX", &s.read_pool_max, "8", connections),
                vector_write: read.or("VECTOR_WRITE_POOL_MAX", &s.vector_write_pool_max, "4", connections),
                vector_read: read.or("VECTOR_READ_POOL_MAX", &s.vector_read_pool_max, "8", connections),
            },
            pool_max_lifetime: read.or("POOL_MAX_LIFETIME", &s.pool_max_lifetime, "5m", positive_duration),
            request_deadline: read.or("REQUEST_DEADLINE", &s.request_deadline, "4s", positive_duration),
            permit_wait: read.or("PERMIT_WAIT", &s.permit_wait, "1s", duration),
            write_permits: read.or("WRITE_PERMITS", &s.write_permits, "2048", permits),
            read_permits: read.or("READ_PERMITS", &s.read_permits, "256", permits),
            search_permits: read.or("SEARCH_PERMITS", &s.search_permits, "64", permits),
            shutdown_delay: read.or("SHUTDOWN_DELAY", &s.shutdown_delay, "0s", duration),
            shutdown_grace: read.or("SHUTDOWN_GRACE", &s.shutdown_grace, "25s", duration),
            replay_window: read.or("REPLAY_WINDOW", &s.replay_window, "10m", duration),
            max_body_bytes: read.or("MAX_BODY_BYTES", &s.max_body_bytes, "1MiB", bytes),
            flush_max_rows: read.or("FLUSH_MAX_ROWS", &s.flush_max_rows, "512", |text| number(text, 1, 10_000)),
            flush_max_bytes: read.or("FLUSH_MAX_BYTES", &s.flush_max_bytes, "4MiB", bytes),
            window: TimeWindow {
                max_age: read.or("AUDIT_MAX_AGE", &s.audit_max_age, "400d", |text| time_span(text, MAX_AGE_DAYS)),
                max_ahead: read.or("AUDIT_MAX_AHEAD", &s.audit_max_ahead, "1h", |text| time_span(text, MAX_AHEAD_DAYS)),
                retention_months: read.or("RETENTION_MONTHS", &s.retention_months, "0", |text| number(text, 0, 1200)),
            },
            max_connections: read.or("MAX_CONNECTIONS", &s.max_connections, "8192", permits),
            recurrence_window: read.or("RECURRENCE_WINDOW", &s.recurrence_window, "24h", duration),
            cors: read.cors(s),
            console: read.or("CONSOLE", &s.console, "true", values::truth),
            mcp: read.mcp(s, embedded),
            embedder: read.embedder(s),
            traces: read.traces(s),
            log_format: read.or("LOG_FORMAT", &s.log_format, "auto", |text| match text {
                "json" => Ok(LogFormat::Json),
                "pretty" => Ok(LogFormat::Pretty),
                "auto" => Ok(LogFormat::Auto),
                _ => Err("must be json or pretty".into()),
            }),
            log_level: read.or("LOG_LEVEL", &s.log_level, "info", |text| {
                tracing_subscriber::EnvFilter::builder().parse(text).map_err(|_| "is no level or filter".to_owned())?;
                Ok(text.to_owned())
            }),
        };
        if read.errors.is_empty() { Ok(config) } else { Err(ConfigErrors(read.errors)) }
    }

    /// The limits of a handle with this many permits.
    pub fn limits(&self, permits: usize) -> Limits {
        Limits { permits, permit_wait: self.permit_wait, deadline: self.request_deadline }
    }
}

/// A list with commas.
fn names(value: &Option<String>) -> Vec<String> {
    let names = given(value).into_iter().flat_map(|text| text.split(',')).map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The value of a setting. An empty value counts as not given.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Collects the faults, so that parsing goes on after a fault.
#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
}

impl Reader {
    fn fault(&mut self, variable: &'static str, fault: impl Into<String>) {
        self.errors.push(ConfigError { variable, fault: fault.into() });
    }

    /// The parsed value of a setting, or its default.
    fn or<T>(
        &mut self,
        variable: &'static str,
        value: &Option<String>,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        match parse(given(value).unwrap_or(default)) {
            Ok(value) => value,
            Err(fault) => {
                self.fault(variable, fault);
                // Every default can be parsed: the test below tries them all.
                parse(default).unwrap_or_else(|fault| panic!("the default of {variable} {fault}"))
            }
        }
    }

    /// The value of a setting, or the content of the file that the setting's `_FILE` variable names.
    fn secret(&mut self, names: [&'static str; 2], value: &Option<String>, file: &Option<String>) -> Option<String> {
        match (given(value), given(file)) {
            (Some(_), Some(_)) => {
                self.fault(names[1], format!("and {} must not both be given", names[0]));
                None
            }
            (Some(value), None) => Some(value.to_owned()),
            (None, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    self.fault(names[1], format!("{file} cannot be read: {error}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    fn databases(&mut self, s: &Settings) -> Databases {
        let write = self.secret(["DATABASE_URL", "DATABASE_URL_FILE"], &s.database_url, &s.database_url_file);
        let names = ["READ_DATABASE_URL", "READ_DATABASE_URL_FILE"];
        let read = self.secret(names, &s.read_database_url, &s.read_database_url_file);
        let names = ["VECTOR_DATABASE_URL", "VECTOR_DATABASE_URL_FILE"];
        let vector = self.secret(names, &s.vector_database_url, &s.vector_database_url_file);
        if write.is_none() && !self.errors.iter().any(|error| error.variable == "DATABASE_URL_FILE") {
            let how =
                "is not set: give the URL of a PostgreSQL database, or start a private one with `serve --embedded`";
            self.fault("DATABASE_URL", how);
        }
        let mut parse = |variable, url: &Option<String>| {
            let parsed = DatabaseConfig::parse(url.as_deref()?);
            parsed.map_err(|fault| self.fault(variable, fault)).ok()
        };
        let write = parse("DATABASE_URL", &write);
        let read = parse("READ_DATABASE_URL", &read);
        let vector = parse("VECTOR_DATABASE_URL", &vector);
        let distribution = self.distribution(s);
        // If DATABASE_URL is missing or wrong, a fault is noted and this value is not used.
        let write = write.unwrap_or_else(|| DatabaseConfig::on_socket(Path::new("/"), "", ""));
        let [write, read, vector] = [Some(&write), read.as_ref(), vector.as_ref()]
            .map(|own| own.unwrap_or(&write).clone().distributed(distribution));
        Databases::External(Box::new(DatabaseConfigs { write, read, vector }))
    }

    fn distribution(&mut self, s: &Settings) -> Option<Distribution> {
        let is_on = self.or("DISTRIBUTE", &s.distribute, "false", values::truth);
        let shards = self.or("DISTRIBUTE_SHARDS", &s.distribute_shards, "8", |text| number(text, 1, 1024));
        let direct = self.or("CITUS_DIRECT", &s.citus_direct, "false", values::truth);
        is_on.then_some(Distribution { shards, direct })
    }

    fn cors(&mut self, s: &Settings) -> CorsOrigins {
        CorsOrigins(self.origins("CORS_ORIGINS", &s.cors_origins, &["*"]))
    }

    /// Origins of pages, or one of these words.
    fn origins(&mut self, variable: &'static str, value: &Option<String>, words: &[&str]) -> Vec<String> {
        let origins = names(value);
        let is_origin = |origin: &str| {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            !host.is_empty() && !host.contains('/') && origin.is_ascii()
        };
        if origins.iter().any(|origin| !is_origin(origin) && !words.contains(&origin.as_str())) {
            self.fault(variable, "must be a list like https://console.example:8443, without a path");
        }
        origins
    }

    /// Embedded, the service is one of a laptop: a page of a foreign name that leads here must not reach it.
    fn mcp(&mut self, s: &Settings, embedded: bool) -> Option<McpConfig> {
        let is_on = self.or("MCP", &s.mcp, "true", values::truth);
        let origins = self.origins("MCP_ALLOWED_ORIGINS", &s.mcp_allowed_origins, &[]);
        let mut hosts = names(&s.mcp_allowed_hosts);
        if hosts.iter().any(|host| host.contains('/')) {
            self.fault("MCP_ALLOWED_HOSTS", "must be a list like memory.example:8080");
        }
        if embedded && hosts.is_empty() {
            hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        }
        is_on.then_some(McpConfig { origins, hosts })
    }

    fn embedder(&mut self, s: &Settings) -> EmbedderConfig {
        match given(&s.embedder).unwrap_or("builtin") {
            "builtin" => EmbedderConfig::Builtin,
            "off" => EmbedderConfig::Off,
            "http" => {
                let url = self.secret(["EMBEDDER_URL", "EMBEDDER_URL_FILE"], &s.embedder_url, &s.embedder_url_file);
                let key = self.secret(["EMBEDDER_KEY", "EMBEDDER_KEY_FILE"], &s.embedder_key, &s.embedder_key_file);
                let url = url.unwrap_or_default();
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    self.fault("EMBEDDER_URL", "is needed with EMBEDDER=http, like https://host/v1/embeddings");
                }
                let Some(model) = given(&s.embedder_model) else {
                    self.fault("EMBEDDER_MODEL", "is needed with EMBEDDER=http");
                    return EmbedderConfig::Off;
                };
                let settings = HttpSettings { url, model: model.to_owned(), key: key.map(Into::into) };
                EmbedderConfig::Other(EngineSettings::Http(settings))
            }
            "minilm" if !cfg!(feature = "minilm") => {
                self.fault("EMBEDDER", "minilm needs a program that is built with `--features minilm`");
                EmbedderConfig::Off
            }
            "minilm" => match given(&s.embedder_path) {
                Some(folder) => EmbedderConfig::Other(EngineSettings::MiniLm(folder.into())),
                None => {
                    self.fault("EMBEDDER_PATH", "is needed with EMBEDDER=minilm");
                    EmbedderConfig::Off
                }
            },
            _ => {
                self.fault("EMBEDDER", "must be builtin, minilm, http or off");
                EmbedderConfig::Off
            }
        }
    }

    fn tls(&mut self, s: &Settings) -> Option<TlsFiles> {
        let path = |value| given(value).map(PathBuf::from);
        let files = match (path(&s.tls_cert_file), path(&s.tls_key_file), path(&s.tls_client_ca_file)) {
            (Some(cert), Some(key), client_ca) => TlsFiles { cert, key, client_ca },
            (None, None, None) => return None,
            (None, _, _) => {
                self.fault("TLS_CERT_FILE", "is needed with TLS_KEY_FILE or TLS_CLIENT_CA_FILE");
                return None;
            }
            (_, None, _) => {
                self.fault("TLS_KEY_FILE", "is needed with TLS_CERT_FILE");
                return None;
            }
        };
        for (variable, fault) in files.faults() {
            self.fault(variable, fault);
        }
        Some(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config = Config::parse(&Settings::default(), true, true).map_err(|e| e.to_string()).expect("valid");
        assert!(config.pools.sum() <= CONNECTIONS_CEILING);
        assert!(config.request_deadline < Duration::from_secs(10));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let settings = Settings {
            listen_addr: Some("nowhere".into()),
            request_deadline: Some("5".into()),
            flush_max_rows: Some("0".into()),
            database_url: Some("postgresql://u:secret@h/db?sslmode=nonsense".into()),
            auth_mode: Some("static".into()),
            embedder: Some("magic".into()),
            ..Settings::default()
        };
        let Err(errors) = Config::parse(&settings, false, true) else { panic!("all of them are wrong") };
        let mut variables: Vec<&str> = errors.0.iter().map(|error| error.variable).collect();
        variables.sort_unstable();
        let expected =
            ["AUTH_TOKENS_FILE", "DATABASE_URL", "EMBEDDER", "FLUSH_MAX_ROWS", "LISTEN_ADDR", "REQUEST_DEADLINE"];
        assert_eq!(variables, expected);
        assert!(!errors.to_string().contains("secret"), "{errors}");
    }
}
