use super::QueryActor;
use super::rows::{AuditRecord, REMEDIATION_COLUMNS, WORKFLOW_COLUMNS};
use crate::db::connection::Connection;
use crate::domain::bucket::Bucket;
use crate::domain::time::serialize;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Error, Row};

/// Asks for all that happened in an incident, in order.
#[derive(Message)]
#[rtype(result = "Result<Timeline, ActorError>")]
pub struct GetTimeline {
    pub id: i64,
}

/// Audits by their own time, and the steps of the incident's workflows by their execution. Of more than 1,000 of either, or
/// 16 MiB of text, the newest.
#[derive(Debug, Serialize)]
pub struct Timeline {
    pub data: Vec<Entry>,
    /// How many there are of both.
    pub total: i64,
}

#[derive(Debug, Serialize)]
pub struct Entry {
    #[serde(serialize_with = "serialize")]
    pub time: DateTime<Utc>,
    /// A `type`, `remediation` or `workflow`, and what was posted.
    #[serde(flatten)]
    pub audit: AuditRecord,
}

impl Handler<GetTimeline> for QueryActor {
    type Result = ResponseFuture<Result<Timeline, ActorError>>;

    fn handle(&mut self, message: GetTimeline, _: &mut Self::Context) -> Self::Result {
        let reader = self.reader();
        Box::pin(async move {
            let read = async |connection: &mut Connection| audits(connection, message.id).await;
            let (head, audits) = reader.read_bucket("query.timeline", Bucket::of_incident(message.id), read).await?;
            let head = head.ok_or(ActorError::NotFound)?;
            // Those of a workflow may lie elsewhere than the incident.
            let workflows: Vec<String> = head.get::<_, Option<Vec<String>>>("workflows").unwrap_or_default();
            let steps = match workflows.is_empty() {
                true => Vec::new(),
                false => {
                    reader.read("query.timeline_steps", async |connection| steps(connection, &workflows).await).await?
                }
            };
            Ok(timeline(&head, &audits, &steps))
        })
    }
}

/// The incident, and its audits; `None` where it is not there.
async fn audits(connection: &mut Connection, id: i64) -> Result<(Option<Row>, Vec<Row>), Error> {
    let head = connection.prepare(include_str!("timeline.sql")).await?;
    let bucket = Bucket::of_incident(id).get();
    let Some(head) = connection.client().query_opt(&head, &[&bucket, &id]).await? else {
        return Ok((None, Vec::new()));
    };
    let request: String = head.get("correlation_id");
    let audits = connection.prepare(&include_str!("list_audits.sql").replace("{columns}", REMEDIATION_COLUMNS)).await?;
    let audits = connection.client().query(&audits, &[&bucket, &request]).await?;
    Ok((Some(head), audits))
}

async fn steps(connection: &mut Connection, workflows: &[String]) -> Result<Vec<Row>, Error> {
    let buckets: Vec<i32> = workflows.iter().map(|workflow| Bucket::of(workflow).get()).collect();
    let steps = connection.prepare(&include_str!("timeline_steps.sql").replace("{columns}", WORKFLOW_COLUMNS)).await?;
    connection.client().query(&steps, &[&buckets, &workflows]).await
}

fn timeline(head: &Row, audits: &[Row], steps: &[Row]) -> Timeline {
    let steps_total = steps.first().map_or(0, |row| row.get("steps_total"));
    let entry = |row: &Row, time: &str, audit| Entry { time: row.get(time), audit };
    let mut data: Vec<Entry> = audits
        .iter()
        .map(|row| entry(row, "created_at", AuditRecord::remediation(row)))
        .chain(steps.iter().map(|row| entry(row, "executed_at", AuditRecord::workflow(row))))
        .collect();
    data.sort_by(|a, b| (a.time, a.audit.received()).cmp(&(b.time, b.audit.received())));
    Timeline { data, total: head.get::<_, i64>("audits_total") + steps_total }
}
