//! `data-storage check`

use super::{CommandError, databases, tokens};
use crate::config::Config;
use data_storage_actors::check::check_database;
use data_storage_actors::migrate::Schema;

/// Says of each part whether it works; fails when one does not.
pub async fn run(config: Config) -> Result<(), CommandError> {
    let (databases, embedded) = databases::open(&config).await?;
    let mut failed = 0;
    let mut say = |part: &str, result: Result<String, String>| match result {
        Ok(found) => println!("ok      {part}: {found}"),
        Err(fault) => {
            failed += 1;
            println!("FAILED  {part}: {fault}");
        }
    };
    let connections = config.pools.sum();
    say("write database", check_database(&databases.write, Schema::Audit, connections).await);
    say("read database", check_database(&databases.read, Schema::Audit, connections).await);
    say("vector database", check_database(&databases.vector, Schema::Vector, connections).await);
    let file = tokens::file(&config, embedded.as_ref());
    let tokens = file.and_then(|file| tokens::read(&file).map(|_| file.display().to_string()));
    say("tokens", tokens.map_err(|error| error.to_string()));
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    if failed > 0 { Err(format!("{failed} of 4 parts do not work").into()) } else { Ok(()) }
}
