use super::PgWriterActor;
use crate::db::timed::timed;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// Asks for the facts of incidents that the vector store keeps a copy of. They are read where they are written: a replica may lag.
#[derive(Message)]
#[rtype(result = "Result<Vec<CopiedFacts>, ActorError>")]
pub struct ReadFacts {
    /// Remediation request ids.
    pub requests: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct CopiedFacts {
    pub bucket: i32,
    pub incident_id: i64,
    pub correlation_id: String,
    pub action_timestamp: DateTime<Utc>,
    pub alert_name: Option<String>,
    pub alert_severity: Option<String>,
    pub action_type: Option<String>,
    pub namespace: Option<String>,
    pub cluster_name: Option<String>,
    pub execution_status: String,
    pub revision: i64,
}

impl Handler<ReadFacts> for PgWriterActor {
    type Result = ResponseFuture<Result<Vec<CopiedFacts>, ActorError>>;

    fn handle(&mut self, message: ReadFacts, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics) = (self.pool(), self.metrics.clone());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let requests: Vec<String> = message.requests.into_iter().collect();
            let buckets: Vec<i32> = requests.iter().map(|request| Bucket::of(request).get()).collect();
            let rows = timed(&metrics, "pg_writer.read_facts", async {
                let statement = connection.prepare(include_str!("read_facts.sql")).await?;
                connection.client.query(&statement, &[&buckets, &requests]).await
            })
            .await?;
            let facts = rows.iter().map(|row| CopiedFacts {
                bucket: row.get("bucket"),
                incident_id: row.get("id"),
                correlation_id: row.get("correlation_id"),
                action_timestamp: row.get("action_timestamp"),
                alert_name: row.get("alert_name"),
                alert_severity: row.get("alert_severity"),
                action_type: row.get("action_type"),
                namespace: row.get("namespace"),
                cluster_name: row.get("cluster_name"),
                execution_status: row.get("execution_status"),
                revision: row.get("revision"),
            });
            Ok(facts.collect())
        })
    }
}
