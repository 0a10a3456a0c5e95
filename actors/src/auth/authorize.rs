use super::AuthActor;
use crate::domain::identity::{Access, Identity};
use crate::error::ActorError;
use actix::prelude::*;

/// May this identity do that?
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Authorize {
    pub identity: Identity,
    pub access: Access,
}

impl Handler<Authorize> for AuthActor {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, message: Authorize, _: &mut Self::Context) -> Self::Result {
        let list = match message.access {
            Access::WriteRemediation => &self.lists.writers_remediation,
            Access::WriteWorkflow => &self.lists.writers_workflow,
            Access::Read => &self.lists.readers,
        };
        if list.contains(&*message.identity.user) { Ok(()) } else { Err(ActorError::Forbidden) }
    }
}
