//! What an actor replies when it cannot do what it was asked. A reply, never the death of an actor. Each error keeps its cause for the
//! place that logs it.

use crate::db::sqlstate::{DatabaseError, DatabaseFault};
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
    /// The service itself cannot do it now (no permit, no actor, no time); a repeat may succeed. The words are for clients.
    #[error("{0}")]
    Unavailable(&'static str),
    /// A database did not do what it was asked.
    #[error(transparent)]
    Database(DatabaseError),
    /// The vector store did not do what a search asked.
    #[error(transparent)]
    VectorStore(DatabaseError),
    /// The embedder made no vector.
    #[error(transparent)]
    Embedder(#[from] EngineFault),
    /// The Kubernetes API gave no verdict.
    #[error(transparent)]
    NoVerdict(#[from] NoVerdict),
    /// The client does not wait any more: nobody sees this.
    #[error("the client has gone")]
    Gone,
    /// A fault of the service.
    #[error("internal error")]
    Internal,
}

impl From<DatabaseError> for ActorError {
    fn from(error: DatabaseError) -> Self {
        match error.fault {
            DatabaseFault::Abandoned => ActorError::Gone,
            _ => ActorError::Database(error),
        }
    }
}

impl ActorError {
    /// Whether the service is at fault, and not a client or something around the service.
    pub fn is_ours(&self) -> bool {
        match self {
            ActorError::Internal => true,
            ActorError::Database(error) | ActorError::VectorStore(error) => error.fault.is_ours(),
            _ => false,
        }
    }
}

/// Why the Kubernetes API gave no verdict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoVerdict {
    /// It answers, and does not let this service ask. The text says what is missing, for operators.
    #[error("the Kubernetes API refuses this service: {0}")]
    Refused(String),
    /// It does not answer, or not with a verdict. The text may name addresses.
    #[error("the Kubernetes API does not answer: {0}")]
    Away(String),
}

impl NoVerdict {
    /// For clients.
    pub fn words(&self) -> &'static str {
        match self {
            NoVerdict::Refused(_) => "the Kubernetes API refuses this service",
            NoVerdict::Away(_) => "the Kubernetes API does not answer",
        }
    }
}

/// Why an embedder made no vector.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineFault {
    /// The embedder does not answer now. It may answer later.
    #[error("it does not answer: {0}")]
    Away(String),
    /// The endpoint does not have the model, at least not now.
    #[error("it is not there: {0}")]
    Gone(String),
    /// The embedder refuses these texts.
    #[error("it refuses the text: {0}")]
    Refused(String),
    /// The embedder cannot work with these settings.
    #[error("{0}")]
    Settings(String),
}

impl EngineFault {
    /// For clients.
    pub fn words(&self) -> &'static str {
        match self {
            EngineFault::Away(_) => "the embedder does not answer",
            EngineFault::Gone(_) => "the embedder has no such model: reindex is needed",
            EngineFault::Refused(_) => "the embedder refuses this text",
            EngineFault::Settings(_) => "the embedder cannot be used",
        }
    }
}
