//! Stands in front of the `AuthActor`: if the answer is known already, the gate gives it without a message to the
//! actor.

use super::limits::{Allowance, RateLimit};
use super::token::Token;
use super::verdicts::Verdicts;
use super::{AccessRules, AuthActor, AuthSettings, Authenticate, Authorize};
use crate::domain::identity::{Access, Identity};
use crate::domain::time::Clock;
use crate::error::ActorError;
use crate::handle::Handle;
use crate::metrics::Metrics;
use std::net::IpAddr;
use std::sync::Arc;

/// The way to the `AuthActor`, with the verdicts that the actor reached lately. Clones share the verdicts.
#[derive(Clone)]
pub struct Gate {
    pub handle: Handle<AuthActor>,
    pub(super) verdicts: Verdicts,
    rules: AccessRules,
    identities: Option<Arc<RateLimit<Arc<str>>>>,
    clock: Clock,
    metrics: Metrics,
}

impl Gate {
    pub fn new(handle: Handle<AuthActor>, settings: &AuthSettings, metrics: &Metrics, clock: &Clock) -> Self {
        Gate {
            handle,
            verdicts: Verdicts::new(settings.times),
            rules: settings.access.clone(),
            identities: RateLimit::new(settings.requests_per_identity, "Too many requests", "service").map(Arc::new),
            clock: clock.clone(),
            metrics: metrics.clone(),
        }
    }

    /// The identity that a token belongs to.
    ///
    /// # Errors
    /// `Unauthenticated`; `Exceeded` for a peer with too many unknown tokens; `Unavailable` without a verdict.
    pub async fn identify(&self, token: Token, peer: IpAddr) -> Result<Identity, ActorError> {
        match self.verdicts.of_token(&token.digest(), (self.clock)()) {
            Some(verdict) => {
                self.metrics.token_cache_hits_total.inc();
                verdict.ok_or(ActorError::Unauthenticated)
            }
            None => {
                self.metrics.token_cache_misses_total.inc();
                self.handle.call(Authenticate { token, peer }).await
            }
        }
    }

    /// Counts one request of an identity. Returns `None` if there is no limit.
    ///
    /// # Errors
    /// `Exceeded` when the identity has reached its limit.
    pub fn spend(&self, identity: &Identity) -> Result<Option<Allowance>, ActorError> {
        let allowance = self.identities.as_ref().map(|limit| limit.check(&identity.user)).transpose();
        allowance.map_err(|exceeded| {
            self.metrics.rate_limited_total.with_label_values(&["identity"]).inc();
            exceeded.into()
        })
    }

    /// Checks that an identity has this right.
    ///
    /// # Errors
    /// `Forbidden`; `Unavailable` without a verdict.
    pub async fn permit(&self, identity: &Identity, access: Access) -> Result<(), ActorError> {
        let known = match &self.rules {
            AccessRules::Lists(lists) => Some(lists.allow(identity, access)),
            AccessRules::Rbac { .. } => self.verdicts.of_access(identity, access),
        };
        let allowed = match known {
            Some(allowed) => allowed,
            None => self.handle.call(Authorize { identity: identity.clone(), access }).await?,
        };
        if allowed { Ok(()) } else { Err(ActorError::Forbidden) }
    }

    /// Forgets the identities whose allowance is whole again.
    pub(super) fn forget_idle(&self) {
        if let Some(limit) = &self.identities {
            limit.forget_idle();
        }
    }
}
