use super::token::{Token, TokenDigest};
use super::{AuthActor, Source, limits};
use crate::domain::identity::Identity;
use crate::error::{ActorError, Exceeded};
use crate::waiting::Waiting;
use actix::prelude::*;
use futures_util::future::Either;
use std::net::IpAddr;

/// Asks which identity a token belongs to.
#[derive(Message)]
#[rtype(result = "Result<Identity, ActorError>")]
pub struct Authenticate {
    pub token: Token,
    /// The address of the client's socket. Each peer may cause only so many token reviews a second.
    pub peer: IpAddr,
}

impl Handler<Authenticate> for AuthActor {
    type Result = ResponseFuture<Result<Identity, ActorError>>;

    fn handle(&mut self, message: Authenticate, _: &mut Self::Context) -> Self::Result {
        let identity = self.identify(message);
        Box::pin(async { identity.await?.ok_or(ActorError::Unauthenticated) })
    }
}

impl AuthActor {
    fn identify(
        &self,
        message: Authenticate,
    ) -> impl Future<Output = Result<Option<Identity>, ActorError>> + 'static + use<> {
        let Authenticate { token, peer } = message;
        let digest = token.digest();
        // Another request may have learnt the verdict since the gate looked for it.
        if let Some(verdict) = self.verdicts.of_token(&digest, (self.clock)()) {
            return Either::Left(std::future::ready(Ok(verdict)));
        }
        let (reviewer, audiences) = match &self.source {
            Source::Static(tokens) => {
                let identity = tokens.find(&digest);
                self.verdicts.learn_token(digest, identity.clone(), None, (self.clock)());
                return Either::Left(std::future::ready(Ok(identity)));
            }
            Source::Review { reviewer, audiences } => (reviewer.clone(), audiences.clone()),
        };
        if let Err(exceeded) = self.spend_review(&token, &digest, peer) {
            self.metrics.rate_limited_total.with_label_values(&["token_review"]).inc();
            return Either::Left(std::future::ready(Err(exceeded.into())));
        }
        let (verdicts, clock) = (self.verdicts.clone(), self.clock.clone());
        Either::Right(self.token_reviews.ask(digest, Waiting::current(), |_| async move {
            let identity = reviewer.review(&token, &audiences).await?;
            verdicts.learn_token(digest, identity.clone(), token.expires(), clock());
            if let (Some(_), Some(owner)) = (&identity, token.owner()) {
                verdicts.learn_owner(owner);
            }
            Ok(identity)
        }))
    }

    /// Counts a review that a token causes. A token that joins a review under way causes none, and one that was accepted lately is no
    /// stranger's: neither uses up anything. A new token that names an owner of accepted tokens counts with that owner, so that a flood of
    /// made-up tokens from the same address does not keep it out; every other token counts with its peer.
    fn spend_review(&self, token: &Token, digest: &TokenDigest, peer: IpAddr) -> Result<(), Exceeded> {
        if self.token_reviews.can_join(digest) || self.verdicts.is_familiar(digest) {
            return Ok(());
        }
        let owner = token.owner().filter(|owner| self.verdicts.is_known_owner(owner));
        match (owner, &self.owners, &self.peers) {
            (Some(owner), Some(limit), _) => limit.check(&owner).map(|_| ()),
            (_, _, Some(limit)) => limit.check(&limits::peer_key(peer)).map(|_| ()),
            _ => Ok(()),
        }
    }
}
