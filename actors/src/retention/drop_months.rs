use super::LIMIT;
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::template::fill;
use crate::db::transaction::Transaction;
use crate::domain::bucket::BUCKETS;
use crate::domain::totals::Values;
use crate::error::ActorError;
use crate::pg_writer::{PgWriterActor, partition_name};
use crate::totals::{add_deltas, values};
use actix::prelude::*;
use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::Error;

/// Drops the oldest month before `kept_from`: deletes its incidents in parts, takes each part out of the totals in the transaction that deletes
/// it, and drops the partition when it is empty. Says whether there was such a month.
#[derive(Message)]
#[rtype(result = "Result<bool, ActorError>")]
pub struct DropMonths {
    pub kept_from: DateTime<Utc>,
}

/// Parts of a month, by bucket.
const PARTS: i64 = 32;

impl Handler<DropMonths> for PgWriterActor {
    type Result = ResponseFuture<Result<bool, ActorError>>;

    fn handle(&mut self, message: DropMonths, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { Ok(drop_oldest(&pool?, message.kept_from.date_naive()).await?) })
    }
}

/// A partition, and whether its detachment has begun.
struct Partition {
    name: String,
    is_pending: bool,
}

async fn drop_oldest(pool: &Pool, kept_from: NaiveDate) -> Result<bool, DatabaseError> {
    let list = async |tx: &mut Transaction<'_>| tx.client().query(include_str!("list_partitions.sql"), &[]).await;
    let mut connection = pool.get().await?;
    let rows = connection.autocommit("retention.list_partitions", LIMIT, list).await?;
    let partitions = rows.iter().map(|row| Partition { name: row.get("name"), is_pending: row.get("is_pending") });
    let Some(partition) = partitions.into_iter().find(|partition| is_over(&partition.name, kept_from)) else {
        return Ok(false);
    };
    let name = partition.name.as_str();
    if !partition.is_pending {
        for part in 0..PARTS {
            let (from, to) = (part * BUCKETS / PARTS, (part + 1) * BUCKETS / PARTS);
            let delete = async |tx: &mut Transaction<'_>| delete_part(tx, name, from, to).await;
            if !connection.transaction("retention.delete_part", LIMIT, delete).await? {
                return Ok(false); // another process is at it
            }
        }
    }
    drop(connection);
    detach(pool, &partition).await?;
    let mut connection = pool.get().await?;
    connection.transaction("retention.drop_partition", LIMIT, async |tx| drop_partition(tx, name).await).await?;
    tracing::info!(partition = name, "month dropped");
    Ok(true)
}

/// Whether the partition's month ends before that day. A table of another name is nobody's month.
fn is_over(name: &str, kept_from: NaiveDate) -> bool {
    let month = name.strip_prefix("resource_action_traces_y").map(|rest| format!("{}-01", rest.replace('m', "-")));
    let first = month.and_then(|month| month.parse::<NaiveDate>().ok()).filter(|first| partition_name(*first) == name);
    first.is_some_and(|first| first < kept_from)
}

/// Deletes the incidents of some buckets; `false` where another process is at it.
async fn delete_part(tx: &mut Transaction<'_>, partition: &str, from: i64, to: i64) -> Result<bool, Error> {
    if !tx.try_lock(Lock::Retention).await? {
        return Ok(false);
    }
    let (from, to) = (i32::try_from(from).unwrap_or(i32::MAX), i32::try_from(to).unwrap_or(i32::MAX));
    // Of this text only the partition's name varies, and it is the catalogue's.
    let sql = fill(&include_str!("delete_part.sql").replace("{partition}", partition));
    let rows = tx.client().query(&sql, &[&from, &to]).await?;
    let changes: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), -row.get::<_, i64>("n"))).collect();
    add_deltas(tx, &changes).await?;
    Ok(true)
}

/// Detaches a partition while reads and writes of the others go on: the server waits for those that may still see it, and lets others
/// pass.
async fn detach(pool: &Pool, partition: &Partition) -> Result<(), DatabaseError> {
    // A connection of its own, since the patience is a setting of the session.
    let mut connection = pool.dedicated().await?;
    let how = if partition.is_pending { "FINALIZE" } else { "CONCURRENTLY" };
    let name = &partition.name;
    let detach = format!("-- retention.detach\nALTER TABLE resource_action_traces DETACH PARTITION {name} {how}");
    connection
        .autocommit("retention.detach", LIMIT, async |tx| {
            tx.client().batch_execute(&format!("SET lock_timeout = {}", LIMIT.as_millis())).await?;
            tx.client().batch_execute(&detach).await
        })
        .await
}

/// Drops a table that was detached. What was written into it after its parts were deleted is taken out of the totals too.
async fn drop_partition(tx: &mut Transaction<'_>, partition: &str) -> Result<(), Error> {
    let buckets = i32::try_from(BUCKETS).unwrap_or(i32::MAX);
    let sql = fill(&include_str!("delete_part.sql").replace("{partition}", partition));
    let rows = tx.client().query(&sql, &[&0, &buckets]).await?;
    let changes: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), -row.get::<_, i64>("n"))).collect();
    add_deltas(tx, &changes).await?;
    tx.client().batch_execute(&format!("-- retention.drop_partition\nDROP TABLE {partition}")).await
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
