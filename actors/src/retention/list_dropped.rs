use super::LIMIT;
use crate::db::transaction::Transaction;
use crate::domain::bucket::BUCKETS;
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use tokio_postgres::Error;

/// Asks for incidents whose month is dropped and that still have something elsewhere, of one bucket after the other, from a bucket on: so
/// that each batch does not look through all that the batches before it have emptied.
#[derive(Message)]
#[rtype(result = "Result<Vec<DroppedIncident>, ActorError>")]
pub struct ListDropped {
    pub kept_from: DateTime<Utc>,
    pub from: i32,
    pub limit: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedIncident {
    pub bucket: i32,
    /// Its request; `None` where the request was audited anew and has another incident now.
    pub correlation_id: Option<String>,
    pub id: i64,
    pub audit_ids: Vec<String>,
}

impl Handler<ListDropped> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<DroppedIncident>, ActorError>>;

    fn handle(&mut self, message: ListDropped, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let listed =
                connection.autocommit("retention.list_dropped", LIMIT, async |tx| list(tx, &message).await).await;
            Ok(listed?)
        })
    }
}

async fn list(tx: &mut Transaction<'_>, message: &ListDropped) -> Result<Vec<DroppedIncident>, Error> {
    let reopened = tx.client().query(include_str!("list_reopened.sql"), &[&message.limit]).await?;
    if !reopened.is_empty() {
        let mut incidents: Vec<DroppedIncident> = reopened
            .iter()
            .map(|row| DroppedIncident {
                bucket: row.get("bucket"),
                correlation_id: None,
                id: row.get("incident_id"),
                audit_ids: row.get("audit_ids"),
            })
            .collect();
        // An audit that was posted again since then is another incident's.
        let (buckets, ids): (Vec<i32>, Vec<&str>) = incidents
            .iter()
            .flat_map(|incident| incident.audit_ids.iter().map(|id| (incident.bucket, id.as_str())))
            .unzip();
        let there = tx.client().query(include_str!("list_posted_again.sql"), &[&buckets, &ids]).await?;
        let there: HashSet<&str> = there.iter().map(|row| row.get("id")).collect();
        incidents.iter_mut().for_each(|incident| incident.audit_ids.retain(|id| !there.contains(id.as_str())));
        return Ok(incidents);
    }
    let list = tx.prepare(include_str!("list_dropped.sql")).await?;
    let audits = tx.prepare(include_str!("list_dropped_audits.sql")).await?;
    let mut dropped: Vec<DroppedIncident> = Vec::new();
    for bucket in message.from..i32::try_from(BUCKETS).unwrap_or(i32::MAX) {
        let rows = tx.client().query(&list, &[&bucket, &message.kept_from, &message.limit]).await?;
        dropped.extend(rows.iter().map(|row| DroppedIncident {
            bucket: row.get("bucket"),
            correlation_id: Some(row.get("correlation_id")),
            id: row.get("id"),
            audit_ids: Vec::new(),
        }));
        if i64::try_from(dropped.len()).is_ok_and(|found| found >= message.limit) {
            break;
        }
    }
    let buckets: Vec<i32> = dropped.iter().map(|incident| incident.bucket).collect();
    let requests: Vec<Option<&str>> = dropped.iter().map(|incident| incident.correlation_id.as_deref()).collect();
    let ids: Vec<i64> = dropped.iter().map(|incident| incident.id).collect();
    let mut audits_of: HashMap<i64, Vec<String>> = HashMap::new();
    for row in tx.client().query(&audits, &[&buckets, &requests, &ids]).await? {
        audits_of.entry(row.get("incident_id")).or_default().push(row.get("id"));
    }
    for incident in &mut dropped {
        incident.audit_ids = audits_of.remove(&incident.id).unwrap_or_default();
    }
    Ok(dropped)
}
