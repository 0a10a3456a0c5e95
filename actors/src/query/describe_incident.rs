use super::QueryActor;
use crate::db::template::sql;
use crate::domain::audit_text::AuditText;
use crate::domain::bucket::Bucket;
use crate::domain::workload::workload;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

/// Asks for what an incident is about: the words that searches compare, and where it happened.
#[derive(Message)]
#[rtype(result = "Result<IncidentDescription, ActorError>")]
pub struct DescribeIncident {
    pub id: i64,
    /// By the audits received by then; `None`: by all.
    pub as_of: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct IncidentDescription {
    pub text: AuditText,
    pub place: Place,
    pub action_timestamp: DateTime<Utc>,
}

/// Where an incident happened.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub namespace: Option<String>,
    pub cluster: Option<String>,
    /// Of its target.
    pub workload: Option<String>,
}

impl Place {
    /// Of a row with the facts of an incident.
    pub(super) fn of(row: &Row) -> Self {
        Place {
            namespace: row.get("namespace"),
            cluster: row.get("cluster_name"),
            workload: row.get::<_, Option<&str>>("target_resource").map(workload),
        }
    }
}

impl Handler<DescribeIncident> for QueryActor {
    type Result = ResponseFuture<Result<IncidentDescription, ActorError>>;

    fn handle(&mut self, message: DescribeIncident, _: &mut Self::Context) -> Self::Result {
        let found = self.read("query.describe_incident", async move |connection| {
            let bucket = Bucket::of_incident(message.id).get();
            let row = match message.as_of {
                None => {
                    let statement = connection.prepare(sql!("describe_incident.sql")).await?;
                    connection.client().query_opt(&statement, &[&bucket, &message.id]).await?
                }
                Some(as_of) => {
                    let statement = connection.prepare(sql!("describe_incident_as_of.sql")).await?;
                    connection.client().query_opt(&statement, &[&bucket, &message.id, &as_of]).await?
                }
            };
            Ok(row.map(|row| {
                let place = Place::of(&row);
                let text = AuditText {
                    alert_name: row.get("alert_name"),
                    reasoning: row.get("reasoning"),
                    error_message: row.get("error_message"),
                    workload: place.workload.clone(),
                    attributes: None,
                };
                IncidentDescription { text, place, action_timestamp: row.get("action_timestamp") }
            }))
        });
        Box::pin(async move { found.await?.ok_or(ActorError::NotFound) })
    }
}
