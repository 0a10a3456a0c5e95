//! The monthly partitions of `resource_action_traces`.

use crate::db::pool::{Connection, Pool};
use crate::db::sqlstate;
use crate::domain::time::month_of;
use chrono::{DateTime, Months, NaiveDate, Utc};
use std::collections::BTreeSet;
use tokio_postgres::{Client, Error};

/// Months that have their partition before their time comes.
const AHEAD: u32 = 3;

/// One process at a time makes partitions. The number is only a name.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7261001)";

/// Makes the partitions of this month and the next ones, on any connection.
///
/// # Errors
/// PostgreSQL's.
pub async fn make_partitions(client: &Client, now: DateTime<Utc>) -> Result<(), Error> {
    let first = month_of(now);
    let months: BTreeSet<NaiveDate> = (0..=AHEAD).filter_map(|n| first.checked_add_months(Months::new(n))).collect();
    create_missing(client, &months).await
}

/// As [`make_partitions`], for the running service.
pub(super) async fn keep_ahead(pool: &Pool, now: DateTime<Utc>) {
    let Ok(connection) = pool.get().await else { return };
    if let Err(error) = make_partitions(&connection.client, now).await {
        sqlstate::handle(&error, "pg_writer.make_partitions");
    }
}

/// Makes the partitions of these months where they are missing.
pub(super) async fn create(connection: &mut Connection, months: &BTreeSet<NaiveDate>) -> Result<(), Error> {
    create_missing(&connection.client, months).await
}

/// A new table is attached rather than made as a partition: that takes no lock that readers or writers wait for.
async fn create_missing(client: &Client, months: &BTreeSet<NaiveDate>) -> Result<(), Error> {
    for month in months {
        if is_there(client, *month).await? {
            continue;
        }
        let result = create_one(client, *month).await;
        if result.is_err() {
            // The error to report is the first one; a lost connection has nothing to roll back.
            let _ = client.batch_execute("ROLLBACK").await;
        }
        result?;
    }
    Ok(())
}

async fn create_one(client: &Client, month: NaiveDate) -> Result<(), Error> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(LOCK).await?;
    // Looked up again, in a statement of its own: what others made while this one waited is seen now.
    if !is_there(client, month).await? {
        let name = name(month);
        let until = month.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        // Of this text only names and dates vary, and they are ours. An incident changes a few times soon after it was opened: with
        // room on its page that costs no entry in any index.
        let sql = format!(
            "-- pg_writer.make_partition
            CREATE TABLE {name} (LIKE resource_action_traces INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 70);
            ALTER TABLE resource_action_traces ATTACH PARTITION {name}
                FOR VALUES FROM ('{month} 00:00:00+00') TO ('{until} 00:00:00+00');"
        );
        client.batch_execute(&sql).await?;
        tracing::info!(partition = name, "partition made");
    }
    client.batch_execute("COMMIT").await
}

pub(super) fn name(month: NaiveDate) -> String {
    month.format("resource_action_traces_y%Ym%m").to_string()
}

/// Whether the month has its partition, by the catalogue as it is now: functions like `to_regclass` may answer from a cache.
async fn is_there(client: &Client, month: NaiveDate) -> Result<bool, Error> {
    let row = client.query_one(include_str!("find_partition.sql"), &[&name(month)]).await?;
    Ok(row.get(0))
}
