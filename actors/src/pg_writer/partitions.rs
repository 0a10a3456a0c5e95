//! The monthly partitions of `resource_action_traces`.

use crate::db::connection::Connection;
use crate::db::locks::Lock;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::transaction::{Share, Transaction};
use crate::domain::time::month_of;
use chrono::{DateTime, Months, NaiveDate, Utc};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::Error;

/// Months that have their partition before their time comes.
const AHEAD: u32 = 3;
/// How long to wait while another process makes partitions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the partitions of this month and the next ones.
///
/// # Errors
/// `Partition` when another process does not get done with it.
pub async fn make_partitions(connection: &mut Connection, now: DateTime<Utc>) -> Result<(), DatabaseError> {
    let first = month_of(now);
    let months: BTreeSet<NaiveDate> = (0..=AHEAD).filter_map(|n| first.checked_add_months(Months::new(n))).collect();
    create(connection, &months, PATIENCE).await
}

/// Makes the partitions of these months where they are missing.
pub(super) async fn create(
    connection: &mut Connection,
    months: &BTreeSet<NaiveDate>,
    patience: Duration,
) -> Result<(), DatabaseError> {
    for month in months {
        let exists = async |tx: &mut Transaction<'_>| is_there(tx, *month).await;
        if connection.autocommit("pg_writer.find_partition", patience, exists).await? {
            continue;
        }
        let create = async |tx: &mut Transaction<'_>| create_one(tx, *month, patience).await;
        connection.transaction("pg_writer.make_partition", patience, create).await.map_err(|error| {
            match error.fault {
                // It waited for another process, and not for an incident.
                DatabaseFault::Locked => error.because(DatabaseFault::Partition),
                _ => error,
            }
        })?;
    }
    Ok(())
}

/// A new table is attached rather than made as a partition: that takes no lock that readers or writers wait for.
async fn create_one(tx: &mut Transaction<'_>, month: NaiveDate, patience: Duration) -> Result<(), Error> {
    // Sooner than the transaction's own limit, so that the wait has a name.
    tx.lock(Lock::Partitions, Share::Alone, patience / 2).await?;
    // Looked up again, in a statement of its own: what others made while this one waited is seen now.
    if is_there(tx, month).await? {
        return Ok(());
    }
    let name = name(month);
    let until = month.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
    // Of these texts only names and dates vary, and they are ours. An incident changes a few times soon after it was opened: with
    // room on its page that costs no entry in any index. A table that is there already was detached, and not dropped yet.
    let client = tx.client();
    // Of distributed tables the shards are made one after the other: at once they would wait for each other's locks.
    client.batch_execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'").await?;
    client
        .batch_execute(&format!(
            "-- pg_writer.make_partition
            CREATE TABLE IF NOT EXISTS {name} (LIKE resource_action_traces INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 70)"
        ))
        .await?;
    client
        .batch_execute(&format!(
            "-- pg_writer.make_partition
            ALTER TABLE resource_action_traces ATTACH PARTITION {name}
                FOR VALUES FROM ('{month} 00:00:00+00') TO ('{until} 00:00:00+00')"
        ))
        .await?;
    tracing::info!(partition = name, "partition made");
    Ok(())
}

/// The name of a month's partition.
pub fn name(month: NaiveDate) -> String {
    month.format("resource_action_traces_y%Ym%m").to_string()
}

/// Whether the month has its partition, by the catalogue as it is now: functions like `to_regclass` may answer from a cache.
async fn is_there(tx: &mut Transaction<'_>, month: NaiveDate) -> Result<bool, Error> {
    let row = tx.client().query_one(include_str!("find_partition.sql"), &[&name(month)]).await?;
    Ok(row.get(0))
}
