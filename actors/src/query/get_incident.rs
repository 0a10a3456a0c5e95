use super::QueryActor;
use super::incident::{Incident, columns};
use super::rows::{AuditRecord, REMEDIATION_COLUMNS, raw_json};
use crate::db::connection::Connection;
use crate::db::template::fill;
use crate::domain::attributes::Attributes;
use crate::domain::bucket::Bucket;
use crate::domain::facts::{Fact, identifying};
use crate::domain::time::serialize;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::LazyLock;
use tokio_postgres::{Error, Row};

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
    /// The unknown fields of all audits, merged member by member; of one that several state, the latest.
    pub attributes: Option<Box<RawValue>>,
    /// The workflows that a step ties to this request, by name; at most 1,000.
    pub workflows: Vec<String>,
    /// In their order. Of more than 1,000 audits, or 16 MiB of text, the newest.
    pub audits: Vec<AuditRecord>,
    /// How many there are.
    pub audits_total: i64,
    /// The facts of which the audits state more than one value, though an incident has one.
    pub conflicts: Vec<Conflict>,
}

#[derive(Debug, Serialize)]
pub struct Conflict {
    /// Under the name of its filter.
    pub field: &'static str,
    /// Sorted; at most 20.
    pub values: Vec<String>,
}

const CONFLICTING_VALUES: usize = 20;

impl Handler<GetIncident> for QueryActor {
    type Result = ResponseFuture<Result<IncidentDetail, ActorError>>;

    fn handle(&mut self, message: GetIncident, _: &mut Self::Context) -> Self::Result {
        let bucket = Bucket::of_incident(message.id);
        let found =
            self.read_bucket("query.get_incident", bucket, async move |connection| get(connection, message.id).await);
        Box::pin(async move { found.await?.ok_or(ActorError::NotFound) })
    }
}

async fn get(connection: &mut Connection, id: i64) -> Result<Option<IncidentDetail>, Error> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let text = include_str!("get_incident.sql").replace("{columns}", &columns(false));
        fill(&text.replace("{conflicts}", &conflicting_values()))
    });
    let statement = connection.prepare(&SQL).await?;
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
        attributes: raw_json(merged(row).map(|attributes| attributes.as_str().to_owned())),
        workflows: row.get::<_, Option<Vec<String>>>("workflows").unwrap_or_default(),
        audits: audits.iter().map(AuditRecord::remediation).collect(),
        audits_total: row.get("audits_total"),
        conflicts: conflicts(row),
        incident,
    }))
}

fn merged(row: &Row) -> Option<Attributes> {
    let texts: Vec<String> = row.get::<_, Option<Vec<String>>>("attributes").unwrap_or_default();
    Attributes::merge(texts.iter().map(String::as_str))
}

/// The columns that [`conflicts`] reads: the values of each identifying fact that audits of the incident `t` state.
fn conflicting_values() -> String {
    let values = |fact: &Fact| {
        let column = fact.audit_column();
        format!(
            "ARRAY(SELECT DISTINCT a.{column} FROM remediation_audit AS a
     WHERE a.bucket = $1 AND a.remediation_request_id = t.correlation_id AND ('{column}' = ANY (a.assumed)) IS NOT TRUE
     ORDER BY a.{column}
     LIMIT {CONFLICTING_VALUES}) AS stated_{column}"
        )
    };
    identifying().map(values).collect::<Vec<_>>().join(",\n    ")
}

fn conflicts(row: &Row) -> Vec<Conflict> {
    let stated = |fact: &'static Fact| {
        let values: Vec<String> = row.get(format!("stated_{}", fact.audit_column()).as_str());
        Some(Conflict { field: fact.filter.filter(|_| values.len() > 1)?, values })
    };
    identifying().filter_map(stated).collect()
}
