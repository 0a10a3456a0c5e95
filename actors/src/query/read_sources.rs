use super::QueryActor;
use crate::db::template::sql;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use actix::prelude::*;
use std::collections::HashMap;

/// Asks who wrote of incidents last, by their ids.
#[derive(Message)]
#[rtype(result = "Result<HashMap<i64, AuditSource>, ActorError>")]
pub struct ReadSources {
    pub ids: Vec<i64>,
}

/// The latest audit of an incident, by its own time.
#[derive(Debug, Clone)]
pub struct AuditSource {
    pub audit_id: String,
    pub writer: String,
}

impl Handler<ReadSources> for QueryActor {
    type Result = ResponseFuture<Result<HashMap<i64, AuditSource>, ActorError>>;

    fn handle(&mut self, message: ReadSources, _: &mut Self::Context) -> Self::Result {
        self.read("query.read_sources", async move |connection| {
            let buckets: Vec<i32> = message.ids.iter().map(|id| Bucket::of_incident(*id).get()).collect();
            let statement = connection.prepare(sql!("read_sources.sql")).await?;
            let rows = connection.client().query(&statement, &[&buckets, &message.ids]).await?;
            let source = |row: &tokio_postgres::Row| {
                (row.get("incident_id"), AuditSource { audit_id: row.get("audit_id"), writer: row.get("writer") })
            };
            Ok(rows.iter().map(source).collect())
        })
    }
}
