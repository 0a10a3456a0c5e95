//! `data-storage reindex`

use super::{CommandError, PATIENCE, databases};
use crate::config::Config;
use data_storage_actors::reindex::reindex;

/// Puts every audit with text that has no vector into the outbox, from where the running service embeds it.
pub async fn run(config: Config) -> Result<(), CommandError> {
    let (databases, embedded) = databases::open(&config).await?;
    let progress = |done: u64, total: u64| eprintln!("{done} of {total} audits looked at");
    let result = reindex(&databases.write, &databases.vector, progress).await;
    if let Some(embedded) = embedded {
        embedded.stop(PATIENCE).await;
    }
    let queued = result?;
    println!("{queued} audits queued for their vector");
    Ok(())
}
