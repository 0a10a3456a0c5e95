//! The databases of a command: those that are configured, or a private one that is started for it.

use crate::config::{Config, Databases};
use crate::embedded::Embedded;
use crate::startup::DatabaseConfigs;

/// The databases, and the private server that must be stopped in the end.
pub async fn open(config: &Config) -> Result<(DatabaseConfigs, Option<Embedded>), super::CommandError> {
    match &config.databases {
        Databases::External { write, read, vector } => {
            let databases = DatabaseConfigs { write: write.clone(), read: read.clone(), vector: vector.clone() };
            Ok((databases, None))
        }
        Databases::Embedded { dir, programs } => {
            let embedded = Embedded::start(dir.as_deref(), programs.as_deref()).await?;
            let database = embedded.database();
            let databases = DatabaseConfigs { write: database.clone(), read: database.clone(), vector: database };
            Ok((databases, Some(embedded)))
        }
    }
}
