use super::QueryActor;
use super::rows::{WORKFLOW_COLUMNS, WorkflowRecord};
use crate::db::connection::Connection;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use actix::prelude::*;
use futures_util::join;
use serde::Serialize;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Asks for the steps of a workflow, in the order of their execution.
#[derive(Message)]
#[rtype(result = "Result<Steps, ActorError>")]
pub struct ListSteps {
    pub workflow_id: String,
    /// 1–1000.
    pub limit: i64,
    pub offset: i64,
}

/// A page of steps; `total` is of the whole workflow.
#[derive(Debug, Serialize)]
pub struct Steps {
    pub steps: Vec<WorkflowRecord>,
    pub total: i64,
}

impl Handler<ListSteps> for QueryActor {
    type Result = ResponseFuture<Result<Steps, ActorError>>;

    /// `NotFound` where no step of the workflow was ever posted.
    fn handle(&mut self, message: ListSteps, _: &mut Self::Context) -> Self::Result {
        let found = self.read("query.list_steps", async move |connection| list(connection, &message).await);
        Box::pin(async move {
            found.await.and_then(|steps| if steps.total > 0 { Ok(steps) } else { Err(ActorError::NotFound) })
        })
    }
}

async fn list(connection: &mut Connection, message: &ListSteps) -> Result<Steps, Error> {
    let page = include_str!("list_steps.sql").replace("{columns}", WORKFLOW_COLUMNS);
    let count =
        "-- query.count_steps\nSELECT count(*) FROM workflow_audit AS a WHERE a.bucket = $1 AND a.workflow_id = $2";
    let (page, count) = (connection.prepare(&page).await?, connection.prepare(count).await?);
    let bucket = Bucket::of(&message.workflow_id).get();
    let page_params: [&(dyn ToSql + Sync); 4] = [&bucket, &message.workflow_id, &message.limit, &message.offset];
    let count_params: [&(dyn ToSql + Sync); 2] = [&bucket, &message.workflow_id];
    let client = connection.client();
    let (rows, total) = join!(client.query(&page, &page_params), client.query_one(&count, &count_params));
    Ok(Steps { steps: rows?.iter().map(WorkflowRecord::from_row).collect(), total: total?.get(0) })
}
