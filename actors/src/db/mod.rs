//! Connections to PostgreSQL, and what its errors mean.

pub mod pool;
pub mod sqlstate;
pub mod timed;

use std::str::FromStr;

/// Where a database is and how to get in. It holds a password, so it is never printed.
pub type DatabaseConfig = tokio_postgres::Config;

/// Reads a `postgresql://` URL or a `key=value` string.
///
/// # Errors
/// What is wrong with it, without repeating it.
pub fn parse_database(text: &str) -> Result<DatabaseConfig, String> {
    let config = DatabaseConfig::from_str(text).map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("is not a database URL: {source}"),
        None => "is not a database URL".to_owned(),
    })?;
    if config.get_hosts().is_empty() {
        return Err("names no host".to_owned());
    }
    match config.get_ssl_mode() {
        tokio_postgres::config::SslMode::Disable | tokio_postgres::config::SslMode::Prefer => Ok(config),
        _ => {
            Err("asks for TLS, which this version does not speak yet: use sslmode=disable or sslmode=prefer".to_owned())
        }
    }
}

/// The private database of `serve --embedded`, by the folder of its socket.
pub fn socket_database(folder: &std::path::Path, user: &str, name: &str) -> DatabaseConfig {
    let mut config = DatabaseConfig::new();
    config.host_path(folder).user(user).dbname(name);
    config
}
