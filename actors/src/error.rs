//! What an actor replies when it cannot do what it was asked. A reply, never the death of an actor.

use crate::domain::invalid::Invalid;
use std::time::Duration;

/// A rate limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}. Limit: {per_second} req/s per {of}")]
pub struct Exceeded {
    pub per_second: u32,
    /// What came too often, and of whom, in words for clients.
    pub what: &'static str,
    pub of: &'static str,
    /// Until there is room for one more.
    pub wait: Duration,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ActorError {
    /// The request is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The token is not known.
    #[error("the token is not valid")]
    Unauthenticated,
    /// The identity may not do this.
    #[error("not authorized")]
    Forbidden,
    /// A rate limit is reached.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The `Idempotency-Key` came with another content before.
    #[error("the Idempotency-Key was used with another content")]
    KeyReused,
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// Something that is needed does not answer now; a repeat may succeed. The words are for clients.
    #[error("{0}")]
    Unavailable(&'static str),
    /// Whoever asked does not wait any more: nobody sees this.
    #[error("the client has gone")]
    Gone,
    /// A fault of the service.
    #[error("internal error")]
    Internal,
}
