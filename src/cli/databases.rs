//! The databases of a command: the configured ones, or a private one that is started for the command.

use crate::config::{Config, DatabaseConfigs, Databases};
use crate::embedded::Embedded;

/// Returns the databases, and the private server if there is one. The caller must stop this server in the end.
pub async fn open(config: &Config) -> Result<(DatabaseConfigs, Option<Embedded>), super::CommandError> {
    match &config.databases {
        Databases::External(databases) => Ok(((**databases).clone(), None)),
        Databases::Embedded { dir, programs } => {
            let embedded = Embedded::start(dir.as_deref(), programs.as_deref()).await?;
            let database = embedded.database();
            let databases = DatabaseConfigs { write: database.clone(), read: database.clone(), vector: database };
            Ok((databases, Some(embedded)))
        }
    }
}
