use super::{Audit, PgWriterActor, Written};
use crate::domain::remediation::RemediationAudit;
use crate::error::ActorError;
use actix::prelude::*;

/// Writes one remediation audit; answered after the commit.
#[derive(Message)]
#[rtype(result = "Result<Written, ActorError>")]
pub struct WriteRemediationAudit {
    pub audit: Box<RemediationAudit>,
    /// The length of the body, for the bound on a flush.
    pub bytes: usize,
}

impl Handler<WriteRemediationAudit> for PgWriterActor {
    type Result = ResponseFuture<Result<Written, ActorError>>;

    fn handle(&mut self, message: WriteRemediationAudit, _: &mut Self::Context) -> Self::Result {
        self.write(Audit::Remediation(message.audit), message.bytes)
    }
}
