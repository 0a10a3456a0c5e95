//! `data-storage migrate`

use super::{CommandError, PATIENCE, databases};
use crate::config::Config;
use data_storage_actors::db::store_identity::StoreIdentity;
use data_storage_actors::domain::time::system_clock;
use data_storage_actors::migrate::{Schema, migrate, migrate_vector_store};

pub async fn run(config: Config) -> Result<(), CommandError> {
    let (databases, embedded) = databases::open(&config).await?;
    let now = system_clock()();
    let result = async {
        let store = StoreIdentity::default();
        for (schema, database) in [(Schema::Audit, &databases.write), (Schema::Vector, &databases.vector)] {
            let failed = |error| format!("the {} database: {error}", schema.as_str());
            if schema == Schema::Vector
                && let Some(own) = store.learn(&databases.write).await?
            {
                migrate_vector_store(database, own, now).await.map_err(failed)?;
            } else {
                migrate(database, schema, now).await.map_err(failed)?;
            }
            println!("{} schema: up to date", schema.as_str());
        }
        Ok(())
    }
    .await;
    if let Some(embedded) = embedded {
        embedded.stop(PATIENCE).await;
    }
    result
}
