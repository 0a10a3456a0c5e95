use super::token::Token;
use super::{AuthActor, Source, limits};
use crate::domain::identity::Identity;
use crate::error::ActorError;
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
                self.verdicts.learn_token(digest, identity.clone(), None);
                return Either::Left(std::future::ready(Ok(identity)));
            }
            Source::Review { reviewer, audiences } => (reviewer.clone(), audiences.clone()),
        };
        // A peer that joins a review under way causes none, and uses up nothing of its limit.
        if !self.token_reviews.can_join(&digest)
            && let Some(Err(exceeded)) = self.peers.as_ref().map(|limit| limit.check(&limits::peer_key(peer)))
        {
            self.metrics.rate_limited_total.with_label_values(&["token_review"]).inc();
            return Either::Left(std::future::ready(Err(exceeded.into())));
        }
        let verdicts = self.verdicts.clone();
        Either::Right(self.token_reviews.ask(digest, Waiting::current(), |_| async move {
            let identity = reviewer.review(&token, &audiences).await?;
            verdicts.learn_token(digest, identity.clone(), token.expires());
            Ok(identity)
        }))
    }
}
