use super::QueryActor;
use super::rows::{AuditRecord, REMEDIATION_COLUMNS, WORKFLOW_COLUMNS};
use crate::db::connection::Connection;
use crate::domain::audit_id::AuditId;
use crate::error::ActorError;
use actix::prelude::*;
use futures_util::join;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

/// Asks for one audit of either kind.
#[derive(Message)]
#[rtype(result = "Result<AuditRecord, ActorError>")]
pub struct GetAudit {
    pub id: AuditId,
}

impl Handler<GetAudit> for QueryActor {
    type Result = ResponseFuture<Result<AuditRecord, ActorError>>;

    fn handle(&mut self, message: GetAudit, _: &mut Self::Context) -> Self::Result {
        let bucket = message.id.bucket();
        let found =
            self.read_bucket("query.get_audit", bucket, async move |connection| get(connection, &message.id).await);
        Box::pin(async move { found.await?.ok_or(ActorError::NotFound) })
    }
}

async fn get(connection: &mut Connection, id: &AuditId) -> Result<Option<AuditRecord>, Error> {
    let sql = |table: &str, columns: &str| {
        format!("-- query.get_audit\nSELECT {columns} FROM {table} AS a WHERE a.bucket = $1 AND a.id = $2")
    };
    let remediation = connection.prepare(&sql("remediation_audit", REMEDIATION_COLUMNS)).await?;
    let workflow = connection.prepare(&sql("workflow_audit", WORKFLOW_COLUMNS)).await?;
    let (bucket, id) = (id.bucket().get(), id.to_string());
    let params: [&(dyn ToSql + Sync); 2] = [&bucket, &id];
    let client = connection.client();
    let (remediation, workflow) = join!(client.query_opt(&remediation, &params), client.query_opt(&workflow, &params));
    let remediation = remediation?.as_ref().map(AuditRecord::remediation);
    Ok(remediation.or(workflow?.as_ref().map(AuditRecord::workflow)))
}
