use super::QueryActor;
use super::incident::{Incident, columns};
use super::rows::{AuditRecord, REMEDIATION_COLUMNS, raw_json};
use crate::db::connection::Connection;
use crate::domain::bucket::Bucket;
use crate::domain::time::serialize;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Error;

/// Asks for one incident with its audits.
#[derive(Message)]
#[rtype(result = "Result<IncidentDetail, ActorError>")]
pub struct GetIncident {
    pub id: i64,
}

/// An incident with all that is known of it.
#[derive(Debug, Serialize)]
pub struct IncidentDetail {
    #[serde(flatten)]
    pub incident: Incident,
    pub reasoning: Option<String>,
    pub priority: Option<String>,
    #[serde(serialize_with = "serialize")]
    pub created_at: DateTime<Utc>,
    #[serde(serialize_with = "serialize")]
    pub updated_at: DateTime<Utc>,
    /// The unknown fields of all audits; of one that several state, the latest.
    pub attributes: Option<Box<RawValue>>,
    /// The workflows that a step ties to this request, by name; at most 1,000.
    pub workflows: Vec<String>,
    /// In their order. Of more than 1,000 audits, or 16 MiB of text, the newest.
    pub audits: Vec<AuditRecord>,
    /// How many there are.
    pub audits_total: i64,
}

impl Handler<GetIncident> for QueryActor {
    type Result = ResponseFuture<Result<IncidentDetail, ActorError>>;

    fn handle(&mut self, message: GetIncident, _: &mut Self::Context) -> Self::Result {
        let found =
            self.read("get_incident", "query.get_incident", async move |connection| get(connection, message.id).await);
        Box::pin(async move { found.await?.ok_or(ActorError::NotFound) })
    }
}

async fn get(connection: &mut Connection, id: i64) -> Result<Option<IncidentDetail>, Error> {
    let sql = include_str!("get_incident.sql").replace("{columns}", &columns(false));
    let statement = connection.prepare(&sql).await?;
    let bucket = Bucket::of_incident(id).get();
    let Some(row) = connection.client().query_opt(&statement, &[&bucket, &id]).await? else {
        return Ok(None);
    };
    let incident = Incident::new(row);
    let row = incident.row();
    let sql = include_str!("list_audits.sql").replace("{columns}", REMEDIATION_COLUMNS);
    let statement = connection.prepare(&sql).await?;
    let audits = connection.client().query(&statement, &[&bucket, &incident.remediation_request_id()]).await?;
    Ok(Some(IncidentDetail {
        reasoning: row.get("reasoning"),
        priority: row.get("priority"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
        attributes: raw_json(row.get("attributes")),
        workflows: row.get::<_, Option<Vec<String>>>("workflows").unwrap_or_default(),
        audits: audits.iter().map(AuditRecord::remediation).collect(),
        audits_total: row.get("audits_total"),
        incident,
    }))
}
