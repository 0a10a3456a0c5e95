use super::QueryActor;
use super::incident::{Incident, columns};
use super::recurrence::recurred;
use crate::db::connection::Connection;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::Outcome;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio_postgres::Error;

/// Asks for incidents by their ids: those that are there and fit the filter.
#[derive(Message)]
#[rtype(result = "Result<Vec<FoundIncident>, ActorError>")]
pub struct FindIncidents {
    /// Id and `action_timestamp`, which tells the partition.
    pub ids: Vec<(i64, DateTime<Utc>)>,
    pub filter: IncidentFilter,
    /// The incidents as the audits received by then make them; `None`: as they are.
    pub as_of: Option<DateTime<Utc>>,
    /// Within which an alert that comes back makes a completed remediation a recurred one.
    pub recurrence_window: Duration,
}

#[derive(Debug)]
pub struct FoundIncident {
    pub id: i64,
    pub incident: Incident,
    pub alert_name: Option<String>,
    pub action_type: Option<String>,
    pub namespace: Option<String>,
    pub cluster: Option<String>,
    pub outcome: Outcome,
}

impl Handler<FindIncidents> for QueryActor {
    type Result = ResponseFuture<Result<Vec<FoundIncident>, ActorError>>;

    fn handle(&mut self, message: FindIncidents, _: &mut Self::Context) -> Self::Result {
        self.read("find_incidents", "query.find_incidents", async move |connection| find(connection, &message).await)
    }
}

async fn find(connection: &mut Connection, message: &FindIncidents) -> Result<Vec<FoundIncident>, Error> {
    let statement = statement(message);
    let rows = statement.query(connection).await?;
    let found = rows.into_iter().map(|row| FoundIncident {
        id: row.get("id"),
        alert_name: row.get("alert_name"),
        action_type: row.get("action_type"),
        namespace: row.get("namespace"),
        cluster: row.get("cluster_name"),
        outcome: Outcome::of(row.get("execution_status"), row.get("recurred")),
        incident: Incident::new(row),
    });
    Ok(found.collect())
}

fn statement(message: &FindIncidents) -> ComposedStatement<'_> {
    let window = i64::try_from(message.recurrence_window.as_secs()).unwrap_or(i64::MAX / 2);
    let mut values = vec![
        SqlValue::Buckets(message.ids.iter().map(|(id, _)| Bucket::of_incident(*id).get()).collect()),
        SqlValue::Numbers(message.ids.iter().map(|(id, _)| *id).collect()),
        SqlValue::Times(message.ids.iter().map(|(_, time)| *time).collect()),
        SqlValue::Number(window),
    ];
    let (source, seen) = match message.as_of {
        None => (include_str!("incidents_by_id.part"), String::new()),
        Some(as_of) => {
            values.push(SqlValue::Time(as_of));
            (include_str!("incidents_as_of.part"), " AND o.created_at <= $5".to_owned())
        }
    };
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let (columns, recurred) = (columns(true), recurred(4, &seen));
    let sql = format!(
        "-- query.find_incidents\nSELECT {columns}, {recurred} AS recurred\nFROM ({source}) AS t{}",
        where_all(&clauses)
    );
    ComposedStatement { sql, values }
}
