use super::QueryActor;
use crate::db::template::sql;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::HashMap;

/// Asks for what was written about incidents, by their ids; of an incident without a text nothing comes.
#[derive(Message)]
#[rtype(result = "Result<HashMap<i64, IncidentText>, ActorError>")]
pub struct ReadTexts {
    pub ids: Vec<i64>,
    /// By the audits received by then; `None`: by all.
    pub as_of: Option<DateTime<Utc>>,
}

/// The texts of an incident that a list does not have.
#[derive(Debug, Default, Serialize)]
pub struct IncidentText {
    /// Of the latest audit that has one, cut at 1,000 characters.
    pub reasoning: Option<String>,
}

impl Handler<ReadTexts> for QueryActor {
    type Result = ResponseFuture<Result<HashMap<i64, IncidentText>, ActorError>>;

    fn handle(&mut self, message: ReadTexts, _: &mut Self::Context) -> Self::Result {
        self.read("query.read_texts", async move |connection| {
            let buckets: Vec<i32> = message.ids.iter().map(|id| Bucket::of_incident(*id).get()).collect();
            let statement = connection.prepare(sql!("read_texts.sql")).await?;
            let rows = connection.client().query(&statement, &[&buckets, &message.ids, &message.as_of]).await?;
            let text = |row: &tokio_postgres::Row| (row.get("id"), IncidentText { reasoning: row.get("reasoning") });
            Ok(rows.iter().map(text).collect())
        })
    }
}
