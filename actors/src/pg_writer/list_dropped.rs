use super::PgWriterActor;
use crate::db::timed::timed_within;
use crate::domain::bucket::BUCKETS;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Asks for incidents whose month is dropped and that still have something elsewhere, of one bucket after the other.
#[derive(Message)]
#[rtype(result = "Result<Vec<DroppedIncident>, ActorError>")]
pub struct ListDropped {
    pub kept_from: DateTime<Utc>,
    pub limit: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedIncident {
    pub bucket: i32,
    pub correlation_id: String,
    pub id: i64,
    pub audit_ids: Vec<String>,
}

/// A batch may have many audits.
const LIMIT: Duration = Duration::from_secs(55);

impl Handler<ListDropped> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<DroppedIncident>, ActorError>>;

    fn handle(&mut self, message: ListDropped, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            timed_within(LIMIT, &metrics, "pg_writer.list_dropped", async {
                let list = connection.prepare(include_str!("list_dropped.sql")).await?;
                let audits = connection.prepare(include_str!("list_dropped_audits.sql")).await?;
                let mut dropped: Vec<DroppedIncident> = Vec::new();
                for bucket in 0..i32::try_from(BUCKETS).unwrap_or(i32::MAX) {
                    let rows = connection.client.query(&list, &[&bucket, &message.kept_from, &message.limit]).await?;
                    dropped.extend(rows.iter().map(|row| DroppedIncident {
                        bucket: row.get("bucket"),
                        correlation_id: row.get("correlation_id"),
                        id: row.get("id"),
                        audit_ids: Vec::new(),
                    }));
                    if i64::try_from(dropped.len()).is_ok_and(|found| found >= message.limit) {
                        break;
                    }
                }
                let buckets: Vec<i32> = dropped.iter().map(|incident| incident.bucket).collect();
                let requests: Vec<&str> = dropped.iter().map(|incident| incident.correlation_id.as_str()).collect();
                let ids: Vec<i64> = dropped.iter().map(|incident| incident.id).collect();
                let rows = connection.client.query(&audits, &[&buckets, &requests, &ids]).await?;
                for incident in &mut dropped {
                    let own = rows.iter().filter(|row| row.get::<_, i64>("incident_id") == incident.id);
                    incident.audit_ids = own.map(|row| row.get("id")).collect();
                }
                Ok(dropped)
            })
            .await
        })
    }
}
