//! Buries stale incidents where the tables are distributed: there one statement cannot write to all tables (bury_stale.sql).

use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::totals::minute_of;
use crate::totals::{Change, note_changes, values};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Takes away the incidents of these requests that are older than what is kept, so that the requests open new ones.
pub(super) async fn bury(
    tx: &mut Transaction<'_>,
    buckets: &[i32],
    requests: &[&str],
    kept_from: DateTime<Utc>,
) -> Result<(), Error> {
    let find = tx.prepare(sql!("find_stale.sql")).await?;
    let client = tx.client();
    let stale = client.query(&find, &[&buckets, &requests, &kept_from]).await?;
    if stale.is_empty() {
        return Ok(());
    }
    let buckets: Vec<i32> = stale.iter().map(|row| row.get("bucket")).collect();
    let requests: Vec<&str> = stale.iter().map(|row| row.get("correlation_id")).collect();
    let ids: Vec<i64> = stale.iter().map(|row| row.get("id")).collect();
    let times: Vec<DateTime<Utc>> = stale.iter().map(|row| row.get("action_timestamp")).collect();
    let by_request: [&(dyn ToSql + Sync); 2] = [&buckets, &requests];
    client.execute(include_str!("../retention/forget_ids.sql"), &[&buckets, &requests, &ids]).await?;
    let dropped = client.query(include_str!("drop_audits.sql"), &by_request).await?;
    client.execute(include_str!("../retention/forget_ties.sql"), &by_request).await?;
    let (audit_buckets, audits): (Vec<i32>, Vec<&str>) =
        dropped.iter().map(|row| (row.get::<_, i32>("bucket"), row.get::<_, &str>("id"))).unzip();
    client.execute(include_str!("../outbox/clear.sql"), &[&audit_buckets, &audits]).await?;
    client.execute(include_str!("../retention/forget_attempts.sql"), &[&buckets, &ids]).await?;
    client.execute(include_str!("drop_incidents.sql"), &[&buckets, &ids, &times]).await?;
    let there = stale.iter().filter(|row| row.get("is_there"));
    let change = |row| Change {
        minute: minute_of(tokio_postgres::Row::get(row, "action_timestamp")),
        values: values(row),
        delta: -1,
    };
    let changes: Vec<Change<'_>> = there.map(change).collect();
    note_changes(tx, buckets[0], &changes).await?;
    let mut of_request: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in &dropped {
        of_request.entry(row.get("correlation_id")).or_default().push(row.get("id"));
    }
    let audits: Vec<String> =
        requests.iter().map(|request| of_request.remove(request).unwrap_or_default().join(",")).collect();
    client.execute(include_str!("note_dropped.sql"), &[&buckets, &ids, &audits]).await.map(|_| ())
}
