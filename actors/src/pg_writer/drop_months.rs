use super::fold_totals::{Columns, values};
use super::{PgWriterActor, partitions};
use crate::db::pool::Connection;
use crate::db::timed::{timed, timed_within};
use crate::domain::totals::{DimensionSet, Total, Values, sum_up};
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, NaiveDate, Utc};
use std::time::Duration;
use tokio_postgres::Error;

/// Drops the partitions of whole months before `kept_from`, and takes their incidents out of the totals with it. Answers how many.
#[derive(Message)]
#[rtype(result = "Result<usize, ActorError>")]
pub struct DropMonths {
    pub kept_from: DateTime<Utc>,
}

/// A month may have many incidents, and a batch many audits.
const LIMIT: Duration = Duration::from_secs(55);

impl Handler<DropMonths> for PgWriterActor {
    type Result = ResponseFuture<Result<usize, ActorError>>;

    fn handle(&mut self, message: DropMonths, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let list = connection.client.query(include_str!("list_partitions.sql"), &[]);
            let partitions = timed(&metrics, "pg_writer.list_partitions", list).await?;
            let mut dropped = 0;
            for name in partitions.iter().map(|row| row.get::<_, String>("name")) {
                if !is_over(&name, message.kept_from.date_naive()) {
                    continue;
                }
                let dropping = async {
                    let result = drop_month(&mut connection, &name).await;
                    connection.or_undone(result).await
                };
                let result = timed_within(LIMIT, &metrics, "pg_writer.drop_month", dropping).await;
                // Somebody still reads or writes there, or another process drops: the next round tries again.
                if result? {
                    tracing::info!(partition = name, "month dropped");
                    dropped += 1;
                }
            }
            Ok(dropped)
        })
    }
}

/// Whether the partition's month ends before that day. A table of another name is nobody's month.
fn is_over(name: &str, kept_from: NaiveDate) -> bool {
    let month = name.strip_prefix("resource_action_traces_y").map(|rest| format!("{}-01", rest.replace('m', "-")));
    let first =
        month.and_then(|month| month.parse::<NaiveDate>().ok()).filter(|first| partitions::name(*first) == name);
    first.is_some_and(|first| first < kept_from)
}

/// One process at a time drops and forgets. The number is only a name.
pub(super) const LOCK: i64 = 7_261_003;

/// Readers and writers of other months wait for the detachment alone.
async fn drop_month(connection: &mut Connection, name: &str) -> Result<bool, Error> {
    connection.in_transaction = true;
    let client = &connection.client;
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = 200").await?;
    let free = client.query_one("-- pg_writer.lock_months\nSELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    // Another process may have dropped it since it was listed.
    let there = "-- pg_writer.month_exists\nSELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relispartition)";
    if !free.get::<_, bool>(0) || !client.query_one(there, &[&name]).await?.get::<_, bool>(0) {
        client.batch_execute("ROLLBACK").await?;
        connection.in_transaction = false;
        return Ok(false);
    }
    // Of this text only the name varies, and it is the catalogue's. Nobody changes an incident of this month from here on.
    client.batch_execute(&format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let counted = client
        .query(
            &format!(
                "-- pg_writer.count_month
                SELECT alert_name, alert_severity, action_type, namespace, cluster_name, -count(*) AS delta
                FROM {name} GROUP BY 1, 2, 3, 4, 5"
            ),
            &[],
        )
        .await?;
    let changes: Vec<(Values<&str>, i64)> = counted.iter().map(|row| (values(row), row.get("delta"))).collect();
    let sums: Vec<Total<'_>> = sum_up(&changes, true).into_iter().filter(|sum| sum.set == DimensionSet::ALL).collect();
    client.execute(include_str!("../totals_add_deltas.sql"), &Columns::of(&sums).delta_params()).await?;
    client
        .batch_execute(&format!(
            "ALTER TABLE resource_action_traces DETACH PARTITION {name}; DROP TABLE {name}; COMMIT"
        ))
        .await?;
    connection.in_transaction = false;
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
