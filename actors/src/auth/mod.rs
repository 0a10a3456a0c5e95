//! Who a token belongs to, and what that identity may do.

mod authenticate;
mod authorize;
mod static_tokens;

pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use static_tokens::{StaticTokens, TokensError};

use crate::domain::identity::Identity;
use crate::error::ActorError;
use crate::handle::Ping;
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A bearer token. It cannot be printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Self {
        Token(token)
    }

    /// SHA-256 of the token: what the service keeps and compares.
    fn digest(&self) -> TokenDigest {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

type TokenDigest = [u8; 32];

/// Who may do what: full user names.
#[derive(Debug, Clone, Default)]
pub struct AccessLists {
    pub writers_remediation: HashSet<String>,
    pub writers_workflow: HashSet<String>,
    pub readers: HashSet<String>,
}

/// Tokens whose identity is remembered, and for how long.
const KNOWN: u64 = 4096;
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// Tokens known to be nobody's have a space of their own, so that made-up ones never push out good ones.
const REFUSED: u64 = 4096;
const REFUSED_FOR: Duration = Duration::from_secs(5);

pub struct AuthActor {
    tokens: Arc<StaticTokens>,
    lists: Arc<AccessLists>,
    known: Cache<TokenDigest, Identity>,
    refused: Cache<TokenDigest, ()>,
    metrics: Metrics,
    _alive: Alive,
}

impl AuthActor {
    pub fn new(tokens: Arc<StaticTokens>, lists: Arc<AccessLists>, metrics: Metrics, alive: Alive) -> Self {
        AuthActor {
            tokens,
            lists,
            known: Cache::builder().max_capacity(KNOWN).time_to_live(KNOWN_FOR).build(),
            refused: Cache::builder().max_capacity(REFUSED).time_to_live(REFUSED_FOR).build(),
            metrics,
            _alive: alive,
        }
    }
}

impl Actor for AuthActor {
    type Context = Context<Self>;
}

impl Handler<Ping> for AuthActor {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        Ok(())
    }
}
