use super::PgWriterActor;
use crate::db::timed::timed;
use crate::domain::bucket::BUCKETS;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};

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

impl Handler<ListDropped> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<DroppedIncident>, ActorError>>;

    fn handle(&mut self, message: ListDropped, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            timed(&metrics, "pg_writer.list_dropped", async {
                let list = connection.prepare(include_str!("list_dropped.sql")).await?;
                let audits = connection.prepare(include_str!("list_dropped_audits.sql")).await?;
                let mut dropped = Vec::new();
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
                for incident in &mut dropped {
                    let params = (&[incident.bucket][..], &[incident.correlation_id.as_str()][..]);
                    let rows = connection.client.query(&audits, &[&params.0, &params.1]).await?;
                    incident.audit_ids = rows.iter().map(|row| row.get("id")).collect();
                }
                Ok(dropped)
            })
            .await
        })
    }
}
