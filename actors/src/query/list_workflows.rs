use super::QueryActor;
use crate::db::connection::Connection;
use crate::db::statement::{ComposedStatement, SqlValue, where_all};
use crate::domain::audit_filter::WorkflowFilter;
use crate::domain::bucket::Bucket;
use crate::domain::time::serialize;
use crate::domain::walk::WalkCursor;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Error, Row};

/// Asks for workflows, newest last step first.
#[derive(Message)]
#[rtype(result = "Result<Workflows, ActorError>")]
pub struct ListWorkflows {
    pub filter: WorkflowFilter,
    /// 1–1000.
    pub limit: i64,
    /// Time and id of the last step of the workflow behind which they begin.
    pub after: Option<(DateTime<Utc>, String)>,
}

#[derive(Debug)]
pub struct Workflows {
    pub workflows: Vec<Workflow>,
    /// Set where there is more.
    pub next: Option<WalkCursor>,
}

#[derive(Debug, Serialize)]
pub struct Workflow {
    pub workflow_id: String,
    /// The request that a step names, the last one that does.
    pub remediation_request_id: Option<String>,
    /// Of the last step.
    pub status: String,
    pub first_step: String,
    #[serde(serialize_with = "serialize")]
    pub first_step_at: DateTime<Utc>,
    pub last_step: String,
    #[serde(serialize_with = "serialize")]
    pub last_step_at: DateTime<Utc>,
    pub steps: i64,
}

impl Handler<ListWorkflows> for QueryActor {
    type Result = ResponseFuture<Result<Workflows, ActorError>>;

    fn handle(&mut self, message: ListWorkflows, _: &mut Self::Context) -> Self::Result {
        self.read("query.list_workflows", async move |connection| list(connection, &message).await)
    }
}

async fn list(connection: &mut Connection, message: &ListWorkflows) -> Result<Workflows, Error> {
    let mut rows = statement(message).query(connection).await?;
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| WalkCursor::at(row.get("last_step_at"), row.get("last_id")));
    let workflow = |row: &Row| Workflow {
        workflow_id: row.get("workflow_id"),
        remediation_request_id: row.get("remediation_request_id"),
        status: row.get("status"),
        first_step: row.get("first_step"),
        first_step_at: row.get("first_step_at"),
        last_step: row.get("last_step"),
        last_step_at: row.get("last_step_at"),
        steps: row.get("steps"),
    };
    Ok(Workflows { workflows: rows.iter().map(workflow).collect(), next })
}

/// Goes through the steps from the newest on, and stops at each that is the last of its workflow.
fn statement(message: &ListWorkflows) -> ComposedStatement<'_> {
    let filter = &message.filter;
    let mut values = vec![SqlValue::Number(message.limit + 1)];
    let mut clauses = vec![
        "NOT EXISTS (
            SELECT 1 FROM workflow_audit AS o
            WHERE o.bucket = s.bucket AND o.workflow_id = s.workflow_id
              AND (o.executed_at, o.received_at, o.id) > (s.executed_at, s.received_at, s.id))"
            .to_owned(),
    ];
    if let Some(request) = filter.remediation_request_id.as_deref() {
        values.push(SqlValue::Bucket(Bucket::of(request).get()));
        values.push(SqlValue::Text(request));
        let (bucket, name) = (values.len() - 1, values.len());
        clauses.push(format!(
            "s.workflow_id IN (
            SELECT w.workflow_id FROM incident_workflows AS w
            WHERE w.bucket = ${bucket} AND w.remediation_request_id = ${name})"
        ));
    }
    for (comparison, bound) in [(">=", filter.since), ("<", filter.until)] {
        if let Some(bound) = bound {
            values.push(SqlValue::Time(bound.at));
            clauses.push(format!("s.executed_at {comparison} ${}", values.len()));
        }
    }
    if let Some((at, id)) = &message.after {
        values.push(SqlValue::Time(*at));
        values.push(SqlValue::Text(id));
        clauses.push(format!("(s.executed_at, s.id) < (${}, ${} COLLATE \"C\")", values.len() - 1, values.len()));
    }
    let conditions = where_all(&clauses);
    let (first, last) = ("a.executed_at, a.received_at, a.id", "a.executed_at DESC, a.received_at DESC, a.id DESC");
    let sql = format!(
        "-- query.list_workflows
WITH page AS (
    SELECT s.* FROM workflow_audit AS s{conditions}
    ORDER BY s.executed_at DESC, s.id DESC
    LIMIT $1
)
SELECT
    l.workflow_id, l.step_status AS status, l.step_name AS last_step, l.executed_at AS last_step_at, l.id AS last_id,
    f.remediation_request_id, f.first_step, f.first_step_at, f.steps
FROM page AS l
JOIN (
    SELECT
        a.bucket, a.workflow_id, count(*) AS steps, min(a.executed_at) AS first_step_at,
        (array_agg(a.step_name ORDER BY {first}))[1] AS first_step,
        (array_agg(a.remediation_request_id ORDER BY {last}) FILTER (WHERE a.remediation_request_id IS NOT NULL))[1]
            AS remediation_request_id
    FROM page AS p
    JOIN workflow_audit AS a ON a.bucket = p.bucket AND a.workflow_id = p.workflow_id
    GROUP BY a.bucket, a.workflow_id
) AS f ON f.bucket = l.bucket AND f.workflow_id = l.workflow_id
ORDER BY l.executed_at DESC, l.id DESC"
    );
    ComposedStatement { sql, values }
}
