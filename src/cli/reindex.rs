//! `data-storage reindex`

use super::{CommandError, PATIENCE, databases};
use crate::config::Config;
use data_storage_actors::domain::time::system_clock;
use data_storage_actors::reindex::{Progress, reindex};
use indicatif::{ProgressBar, ProgressStyle};

/// Puts every audit without a vector of the configured embedder into the outbox; the running service embeds it from
/// there. If searches use another embedder's vectors so far, this waits until all new vectors are there, and then
/// makes searches use the new ones.
pub async fn run(config: Config) -> Result<(), CommandError> {
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
    let result = reindex(&databases.write, &databases.vector, &space.id, &system_clock(), show).await;
    bar.finish_and_clear();
    if let Some(embedded) = embedded {
        embedded.stop(PATIENCE).await;
    }
    let done = result?;
    println!("{} audits queued for their vector", done.queued);
    if let Some(before) = done.switched_from {
        println!("searches go by {} from now on, no longer by {before}", space.id);
    }
    Ok(())
}
