use super::QueryActor;
use super::describe_incident::Place;
use super::incident::{Incident, columns};
use super::recurrence::{Ended, recurred, recurred_among};
use crate::db::connection::Connection;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::db::template::{STATED_AT, last_action, last_end, sql};
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::Outcome;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use futures_util::join;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio_postgres::{Error, Row};

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
    pub place: Place,
    /// What was tried, in this order. The last one may not be over.
    pub attempts: Vec<Attempt>,
}

#[derive(Debug)]
pub struct Attempt {
    pub action_type: Option<String>,
    pub outcome: Outcome,
    /// As far as it is over, and its end is known.
    pub ended_at: Option<DateTime<Utc>>,
}

impl FoundIncident {
    /// Of the last attempt.
    pub fn outcome(&self) -> Outcome {
        self.attempts.last().map_or(Outcome::Pending, |attempt| attempt.outcome)
    }
}

impl Handler<FindIncidents> for QueryActor {
    type Result = ResponseFuture<Result<Vec<FoundIncident>, ActorError>>;

    fn handle(&mut self, message: FindIncidents, _: &mut Self::Context) -> Self::Result {
        self.read("query.find_incidents", async move |connection| find(connection, &message).await)
    }
}

async fn find(connection: &mut Connection, message: &FindIncidents) -> Result<Vec<FoundIncident>, Error> {
    let (incidents, earlier) = (statement(message), earlier_attempts(message));
    let incidents_prepared = connection.prepare(&incidents.sql).await?;
    let earlier_prepared = connection.prepare(&earlier.sql).await?;
    let client = connection.client();
    let (incident_params, earlier_params) = (incidents.params(), earlier.params());
    let (rows, earlier) =
        join!(client.query(&incidents_prepared, &incident_params), client.query(&earlier_prepared, &earlier_params));
    let (rows, earlier) = (rows?, earlier?);
    let (mut recurred, mut recurred_earlier) = (HashSet::new(), HashSet::new());
    if connection.is_distributed() {
        let (window, as_of) = (message.recurrence_window, message.as_of);
        let of_rows: Vec<&Row> = rows.iter().collect();
        recurred = recurred_among(connection, &of_rows, "id", window, as_of).await?;
        let of_rows: Vec<&Row> = earlier.iter().collect();
        recurred_earlier = recurred_among(connection, &of_rows, "incident_id", window, as_of).await?;
    }
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for (at, row) in earlier.iter().enumerate() {
        attempts.entry(row.get("incident_id")).or_default().push(Attempt::of(row, recurred_earlier.contains(&at)));
    }
    let found = rows.into_iter().enumerate().map(|(at, row)| {
        let id = row.get("id");
        let mut attempts = attempts.remove(&id).unwrap_or_default();
        attempts.push(Attempt::of(&row, recurred.contains(&at)));
        FoundIncident {
            id,
            alert_name: row.get("alert_name"),
            place: Place::of(&row),
            attempts,
            incident: Incident::new(row),
        }
    });
    Ok(found.collect())
}

impl Attempt {
    fn of(row: &Row, recurred: bool) -> Self {
        Attempt {
            action_type: row.get("attempted"),
            outcome: Outcome::of(row.get("execution_status"), recurred || row.get("recurred")),
            ended_at: row.get("ended_at"),
        }
    }
}

/// Ids of incidents, as `unnest` takes them, and the recurrence window.
fn parameters(message: &FindIncidents) -> Vec<SqlValue<'_>> {
    let window = i64::try_from(message.recurrence_window.as_secs()).unwrap_or(i64::MAX / 2);
    let mut values = vec![
        SqlValue::Buckets(message.ids.iter().map(|(id, _)| Bucket::of_incident(*id).get()).collect()),
        SqlValue::Numbers(message.ids.iter().map(|(id, _)| *id).collect()),
        SqlValue::Times(message.ids.iter().map(|(_, time)| *time).collect()),
        SqlValue::Number(window),
    ];
    values.extend(message.as_of.map(SqlValue::Time));
    values
}

/// The condition on a later incident, where the past is asked for.
fn seen(message: &FindIncidents) -> &'static str {
    if message.as_of.is_some() { " AND o.created_at <= $5" } else { "" }
}

/// The attempts of these incidents that ended before their request went on.
fn earlier_attempts(message: &FindIncidents) -> ComposedStatement<'_> {
    let attempt = Ended { incident: "t", status: "e.execution_status", end: "e.ended_at" };
    let recurred = recurred(&attempt, 4, seen(message));
    let received = if message.as_of.is_some() { "\nWHERE e.received_at <= $5" } else { "" };
    let sql = format!(
        "-- query.earlier_attempts
SELECT
    e.incident_id, e.action_type AS attempted, e.execution_status, e.ended_at, t.alert_name, t.namespace, t.cluster_name, t.workload,
    {recurred} AS recurred
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (bucket, id, action_timestamp)
JOIN earlier_attempts AS e ON e.bucket = u.bucket AND e.incident_id = u.id
JOIN resource_action_traces AS t ON t.bucket = u.bucket AND t.id = u.id AND t.action_timestamp = u.action_timestamp{received}
ORDER BY e.incident_id, e.number"
    );
    ComposedStatement { sql, values: parameters(message) }
}

fn statement(message: &FindIncidents) -> ComposedStatement<'_> {
    let mut values = parameters(message);
    let (source, stated_at, attempted) = match message.as_of {
        None => (include_str!("incidents_by_id.part"), STATED_AT, last_action()),
        Some(_) => (sql!("incidents_as_of.part"), "t.stated_at", "t.attempted".to_owned()),
    };
    let end = last_end(stated_at);
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let last = Ended { incident: "t", status: "t.execution_status", end: &end };
    let (columns, recurred) = (columns(true), recurred(&last, 4, seen(message)));
    let is_over = "t.execution_status NOT IN ('pending', 'in_progress')";
    let ended_at = format!("CASE WHEN {is_over} THEN {end} END");
    let sql = format!(
        "-- query.find_incidents\nSELECT {columns}, t.workload, {attempted} AS attempted, {ended_at} AS ended_at, {recurred} AS recurred\nFROM ({source}) AS t{}",
        where_all(&clauses)
    );
    ComposedStatement { sql, values }
}
