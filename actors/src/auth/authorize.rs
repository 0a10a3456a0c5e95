use super::{AccessRules, AuthActor};
use crate::domain::identity::{Access, Identity};
use crate::error::ActorError;
use crate::waiting::Waiting;
use actix::prelude::*;

/// Asks whether an identity has a right.
#[derive(Message)]
#[rtype(result = "Result<bool, ActorError>")]
pub struct Authorize {
    pub identity: Identity,
    pub access: Access,
}

impl Handler<Authorize> for AuthActor {
    type Result = ResponseFuture<Result<bool, ActorError>>;

    fn handle(&mut self, message: Authorize, _: &mut Self::Context) -> Self::Result {
        let Authorize { identity, access } = message;
        if let Some(allowed) = self.verdicts.of_access(&identity, access) {
            return Box::pin(async move { Ok(allowed) });
        }
        let (reviewer, namespace) = match (&self.access, &self.reviewer) {
            (AccessRules::Lists(lists), _) => {
                let allowed = lists.allow(&identity, access);
                return Box::pin(async move { Ok(allowed) });
            }
            (AccessRules::Rbac { namespace }, Some(reviewer)) => (reviewer.clone(), namespace.clone()),
            (AccessRules::Rbac { .. }, None) => return Box::pin(async { Err(ActorError::Internal) }),
        };
        let question = (identity, access);
        let verdicts = self.verdicts.clone();
        self.access_reviews.ask(question.clone(), Waiting::current(), |_| async move {
            let (identity, access) = question;
            let allowed = reviewer.allows(&identity, access, &namespace).await?;
            verdicts.learn_access(identity, access, allowed);
            Ok(allowed)
        })
    }
}
