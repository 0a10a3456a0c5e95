use super::{Audit, PgWriterActor, Written};
use crate::domain::workflow::WorkflowAudit;
use crate::error::ActorError;
use actix::prelude::*;

/// Writes one workflow audit; answered after the commit.
#[derive(Message)]
#[rtype(result = "Result<Written, ActorError>")]
pub struct WriteWorkflowAudit {
    pub audit: Box<WorkflowAudit>,
    /// The length of the body, for the bound on a flush.
    pub bytes: usize,
}

impl Handler<WriteWorkflowAudit> for PgWriterActor {
    type Result = ResponseFuture<Result<Written, ActorError>>;

    fn handle(&mut self, message: WriteWorkflowAudit, _: &mut Self::Context) -> Self::Result {
        self.write(Audit::Workflow(message.audit), message.bytes)
    }
}
