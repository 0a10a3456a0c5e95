use super::QueryActor;
use crate::db::template::sql;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// Asks which audits state the ends of the attempts of incidents.
#[derive(Message)]
#[rtype(result = "Result<HashMap<i64, Vec<AttemptSource>>, ActorError>")]
pub struct ReadAttempts {
    /// Id and `action_timestamp`, which tells the partition.
    pub ids: Vec<(i64, DateTime<Utc>)>,
}

/// The audit that states the end of an attempt.
#[derive(Debug, Clone)]
pub struct AttemptSource {
    /// From 1; the last attempt of an incident has the greatest number of all.
    pub number: i32,
    pub audit_id: String,
    pub writer: String,
    pub target_resource: Option<String>,
    pub error_message: Option<String>,
}

impl AttemptSource {
    pub fn is_of_last(&self) -> bool {
        self.number == i32::MAX
    }
}

impl Handler<ReadAttempts> for QueryActor {
    type Result = ResponseFuture<Result<HashMap<i64, Vec<AttemptSource>>, ActorError>>;

    fn handle(&mut self, message: ReadAttempts, _: &mut Self::Context) -> Self::Result {
        self.read("query.read_attempts", async move |connection| {
            let buckets: Vec<i32> = message.ids.iter().map(|(id, _)| Bucket::of_incident(*id).get()).collect();
            let (ids, times): (Vec<i64>, Vec<DateTime<Utc>>) = message.ids.iter().copied().unzip();
            let statement = connection.prepare(sql!("read_attempts.sql")).await?;
            let rows = connection.client().query(&statement, &[&buckets, &ids, &times]).await?;
            let mut sources: HashMap<i64, Vec<AttemptSource>> = HashMap::new();
            for row in rows {
                sources.entry(row.get("incident_id")).or_default().push(AttemptSource {
                    number: row.get("number"),
                    audit_id: row.get("audit_id"),
                    writer: row.get("writer"),
                    target_resource: row.get("target_resource"),
                    error_message: row.get("error_message"),
                });
            }
            Ok(sources)
        })
    }
}
