//! `data-storage reindex`

use super::{CommandError, PATIENCE, databases};
use crate::actors::OutboxWorkers;
use crate::config::Config;
use data_storage_actors::db::store_identity::StoreIdentity;
use data_storage_actors::domain::time::system_clock;
use data_storage_actors::embedder::Spaces;
use data_storage_actors::metrics::Metrics;
use data_storage_actors::migrate::migrate_vector_store;
use data_storage_actors::reindex::{Progress, active_embedder, reindex};
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::Registry;

#[derive(Debug, clap::Args)]
pub struct ReindexOptions {
    /// End when the audits are queued, and leave their vectors to a running service
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub options: super::Options,
}

/// Puts every audit without a vector of the configured embedder into the outbox, and embeds it from there together with the services that
/// run. If searches use another embedder's vectors so far, they use the new ones once all of these are there.
pub async fn run(config: Config, no_wait: bool) -> Result<(), CommandError> {
    let space = config.embedder.space().ok_or("EMBEDDER is off: there is nothing to embed with")?;
    let (databases, embedded) = databases::open(&config).await?;
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:40} {pos} of {len} ({eta})") {
        bar.set_style(style);
    }
    let show = |progress: Progress| {
        bar.set_message(progress.what);
        bar.set_length(progress.of);
        bar.set_position(progress.done);
    };
    let result = async {
        let clock = system_clock();
        if let Some(own) = StoreIdentity::default().learn(&databases.write).await? {
            migrate_vector_store(&databases.vector, own, clock()).await?;
        }
        let metrics = Metrics::register(&Registry::new())?;
        let spaces = Spaces::new(space.clone());
        if let Some(active) = active_embedder(&databases.vector).await? {
            spaces.set_active(&active);
        }
        let workers = (!no_wait).then(|| OutboxWorkers::start(&config, &databases, spaces, &metrics, &clock));
        let done = reindex(&databases.write, &databases.vector, &space.id, &clock, !no_wait, show).await?;
        drop(workers);
        Ok::<_, CommandError>(done)
    };
    let result = result.await;
    bar.finish_and_clear();
    if let Some(embedded) = embedded {
        embedded.stop(PATIENCE).await;
    }
    let done = result?;
    let how = if no_wait { "queued for their vector" } else { "have their vector now" };
    println!("{} audits {how}", done.queued);
    if let Some(before) = done.switched_from {
        println!("searches go by {} from now on, no longer by {before}", space.id);
    }
    Ok(())
}
