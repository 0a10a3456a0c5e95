use super::{AuthActor, Token};
use crate::domain::identity::Identity;
use crate::error::ActorError;
use actix::prelude::*;

/// Whose token is this?
#[derive(Message)]
#[rtype(result = "Result<Identity, ActorError>")]
pub struct Authenticate {
    pub token: Token,
}

impl Handler<Authenticate> for AuthActor {
    type Result = Result<Identity, ActorError>;

    fn handle(&mut self, message: Authenticate, _: &mut Self::Context) -> Self::Result {
        let digest = message.token.digest();
        if let Some(identity) = self.known.get(&digest) {
            self.metrics.token_cache_hits_total.inc();
            return Ok(identity);
        }
        if self.refused.contains_key(&digest) {
            self.metrics.token_cache_hits_total.inc();
            return Err(ActorError::Unauthenticated);
        }
        self.metrics.token_cache_misses_total.inc();
        match self.tokens.find(&digest) {
            Some(identity) => {
                self.known.insert(digest, identity.clone());
                Ok(identity)
            }
            None => {
                self.refused.insert(digest, ());
                Err(ActorError::Unauthenticated)
            }
        }
    }
}
