//! Who writes patterns shares a lock, so that one that is about to get an incident is not taken for unused.

use tokio_postgres::{Client, Error};

/// Waiting for it takes longer than for a row: a batch is written, or a batch forgotten, meanwhile.
const SHARED: &str =
    "BEGIN; SET LOCAL lock_timeout = 5000; SELECT pg_advisory_xact_lock_shared(7261004); SET LOCAL lock_timeout = 500";
const EXCLUSIVE: &str =
    "BEGIN; SET LOCAL lock_timeout = 5000; SELECT pg_advisory_xact_lock(7261004); SET LOCAL lock_timeout = 500";

/// Begins a transaction that may give patterns to incidents.
pub(super) async fn begin_writing(client: &Client) -> Result<(), Error> {
    client.batch_execute(SHARED).await
}

/// Begins a transaction that may delete patterns which have none; nobody writes meanwhile.
pub(super) async fn begin_deleting(client: &Client) -> Result<(), Error> {
    client.batch_execute(EXCLUSIVE).await
}
