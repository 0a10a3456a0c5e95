//! Who writes patterns shares a lock, so that one that is about to get an incident is not taken for unused.

use tokio_postgres::{Client, Error};

const SHARED: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(7261004)";
const EXCLUSIVE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7261004)";

/// Begins a transaction that may give patterns to incidents.
pub(super) async fn begin_writing(client: &Client) -> Result<(), Error> {
    client.batch_execute(SHARED).await
}

/// Begins a transaction that may delete patterns which have none; nobody writes meanwhile.
pub(super) async fn begin_deleting(client: &Client) -> Result<(), Error> {
    client.batch_execute(EXCLUSIVE).await
}
