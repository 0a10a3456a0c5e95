use super::LIMIT;
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::template::fill;
use crate::db::transaction::Transaction;
use crate::domain::bucket::BUCKETS;
use crate::error::ActorError;
use crate::pg_writer::{PgWriterActor, partition_name};
use crate::totals::{Change, note_changes, values};
use actix::prelude::*;
use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::{Error, Row};

/// Does one step towards dropping the oldest month before `kept_from`. First its incidents are deleted, part by part, but for those that
/// have an audit of a kept month; each part leaves the totals in the transaction that deletes it. An empty partition is detached, and then it
/// is dropped; another one stays as it is. Each step may be interrupted at any point: the next one goes by what it finds.
#[derive(Message)]
#[rtype(result = "Result<MonthStep, ActorError>")]
pub struct DropMonths {
    pub kept_from: DateTime<Utc>,
    /// The month after which to look, by the name of its partition; `None` from the first on.
    pub after: Option<String>,
    /// The part of the month that is to be deleted next.
    pub part: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonthStep {
    /// There is no such month.
    Nothing,
    /// A part is deleted, or the partition detached.
    Part,
    Dropped,
    /// The partition of this name has incidents that are kept.
    Kept(String),
    /// Another process is at it.
    Busy,
}

/// Parts of a month, by bucket.
const PARTS: i64 = 32;

impl Handler<DropMonths> for PgWriterActor {
    type Result = ResponseFuture<Result<MonthStep, ActorError>>;

    fn handle(&mut self, message: DropMonths, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { Ok(step(&pool?, &message).await?) })
    }
}

/// A month's table.
struct Partition {
    name: String,
    /// Whether it is still listed as a partition, and whether its detachment has begun.
    is_listed: bool,
    is_pending: bool,
}

async fn step(pool: &Pool, message: &DropMonths) -> Result<MonthStep, DatabaseError> {
    let (kept_from, part) = (message.kept_from, message.part);
    let list = async |tx: &mut Transaction<'_>| tx.client().query(include_str!("list_partitions.sql"), &[]).await;
    let mut connection = pool.get().await?;
    let rows = connection.autocommit("retention.list_partitions", LIMIT, list).await?;
    let tables = rows.iter().map(|row| Partition {
        name: row.get("name"),
        is_listed: row.get("is_listed"),
        is_pending: row.get("is_pending"),
    });
    let is_next = |table: &Partition| message.after.as_ref().is_none_or(|after| table.name > *after);
    let Some(table) = tables.into_iter().find(|table| is_over(&table.name, kept_from.date_naive()) && is_next(table))
    else {
        return Ok(MonthStep::Nothing);
    };
    let name = table.name.as_str();
    if !table.is_listed {
        let drop = async |tx: &mut Transaction<'_>| drop_table(tx, name).await;
        let is_dropped = connection.transaction("retention.drop_partition", LIMIT, drop).await?;
        if is_dropped {
            tracing::info!(partition = name, "month dropped");
        }
        return Ok(if is_dropped { MonthStep::Dropped } else { MonthStep::Busy });
    }
    if part < PARTS && !table.is_pending {
        let (from, to) = (part * BUCKETS / PARTS, (part + 1) * BUCKETS / PARTS);
        let delete = async |tx: &mut Transaction<'_>| delete_part(tx, name, from, to, kept_from).await;
        let is_deleted = connection.transaction("retention.delete_part", LIMIT, delete).await?;
        return Ok(if is_deleted { MonthStep::Part } else { MonthStep::Busy });
    }
    // Once its detachment has begun nobody reads or writes there.
    let has_kept = format!("-- retention.has_kept\nSELECT EXISTS (SELECT 1 FROM {name})");
    let has_kept = async |tx: &mut Transaction<'_>| Ok(tx.client().query_one(&has_kept, &[]).await?.get::<_, bool>(0));
    if !table.is_pending && connection.autocommit("retention.has_kept", LIMIT, has_kept).await? {
        return Ok(MonthStep::Kept(table.name));
    }
    drop(connection);
    detach(pool, &table).await?;
    Ok(MonthStep::Part)
}

/// Whether the partition's month ends before that day. A table of another name is nobody's month.
fn is_over(name: &str, kept_from: NaiveDate) -> bool {
    let month = name.strip_prefix("resource_action_traces_y").map(|rest| format!("{}-01", rest.replace('m', "-")));
    let first = month.and_then(|month| month.parse::<NaiveDate>().ok()).filter(|first| partition_name(*first) == name);
    first.is_some_and(|first| first < kept_from)
}

/// Deletes the incidents of some buckets whose latest audit is older than `kept_from`; `false` where another process is at it.
async fn delete_part(
    tx: &mut Transaction<'_>,
    partition: &str,
    from: i64,
    to: i64,
    kept_from: DateTime<Utc>,
) -> Result<bool, Error> {
    if !tx.try_lock(Lock::Retention).await? {
        return Ok(false);
    }
    let (from, to) = (i32::try_from(from).unwrap_or(i32::MAX), i32::try_from(to).unwrap_or(i32::MAX));
    tx.client().batch_execute("SET LOCAL data_storage.counts_deletes = 'on'").await?;
    // Of this text only the partition's name varies, and it is the catalogue's.
    let sql = fill(&include_str!("delete_part.sql").replace("{partition}", partition));
    let rows = tx.client().query(&sql, &[&from, &to, &kept_from]).await?;
    let change = |row| Change { minute: Row::get(row, "minute"), values: values(row), delta: -row.get::<_, i32>("n") };
    let changes: Vec<Change<'_>> = rows.iter().map(change).collect();
    note_changes(tx, from, &changes).await?;
    Ok(true)
}

/// Detaches a partition while reads and writes of the others go on: the server waits for those that may still see it, and lets others
/// pass.
async fn detach(pool: &Pool, partition: &Partition) -> Result<(), DatabaseError> {
    // A connection of its own, since the patience is a setting of the session.
    let mut connection = pool.dedicated().await?;
    let how = if partition.is_pending { "FINALIZE" } else { "CONCURRENTLY" };
    let name = &partition.name;
    // Distributed tables know only the way that others wait for.
    if connection.is_distributed() {
        return connection.transaction("retention.detach", LIMIT, async |tx| detach_shards(tx, name).await).await;
    }
    let detach = format!("-- retention.detach\nALTER TABLE resource_action_traces DETACH PARTITION {name} {how}");
    connection
        .autocommit("retention.detach", LIMIT, async |tx| {
            tx.client().batch_execute(&format!("SET lock_timeout = {}", LIMIT.as_millis())).await?;
            tx.client().batch_execute(&detach).await
        })
        .await
}

async fn detach_shards(tx: &mut Transaction<'_>, partition: &str) -> Result<(), Error> {
    let client = tx.client();
    // One shard after the other: at once they would wait for each other's locks.
    let patience = LIMIT.as_millis();
    let settings =
        format!("SET LOCAL lock_timeout = {patience}; SET LOCAL citus.multi_shard_modify_mode = 'sequential'");
    client.batch_execute(&settings).await?;
    client
        .batch_execute(&format!("-- retention.detach\nALTER TABLE resource_action_traces DETACH PARTITION {partition}"))
        .await
}

/// Drops a table that was detached. What was written into it after its parts were deleted is taken out of the totals too. `false` where
/// another process is at it.
async fn drop_table(tx: &mut Transaction<'_>, table: &str) -> Result<bool, Error> {
    if !delete_part(tx, table, 0, BUCKETS, DateTime::<Utc>::MAX_UTC).await? {
        return Ok(false);
    }
    // Nobody of the service looks there any more; a vacuum or a dump may, for a while.
    tx.client()
        .batch_execute("SET LOCAL lock_timeout = 20000; SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
        .await?;
    tx.client().batch_execute(&format!("-- retention.drop_partition\nDROP TABLE IF EXISTS {table}")).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_months_are_over() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day");
        for (name, over) in
            [("y2026m02", true), ("y2025m12", true), ("y2026m03", false), ("y2026m1", false), ("old", false)]
        {
            assert_eq!(is_over(&format!("resource_action_traces_{name}"), day), over, "{name}");
        }
    }
}
