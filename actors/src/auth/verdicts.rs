//! Keeps verdicts on tokens and identities for a while. Valid tokens, refused tokens, allowed identities and denied
//! identities each have a cache of their own, so that a flood of made-up tokens evicts no valid entry.

use super::token::{TokenDigest, TokenOwner};
use crate::domain::identity::{Access, Identity};
use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;
use std::hash::Hash;
use std::time::Duration;

/// Most entries of each cache.
const ENTRIES: u64 = 4096;
/// The API server accepts a token for some seconds behind its end. Its verdict on such a token is kept this long.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// How long an accepted token is known not to be a stranger's, and an owner that had an accepted token.
const FAMILIAR: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub(super) struct Verdicts {
    known: Cache<TokenDigest, Known>,
    refused: Cache<TokenDigest, ()>,
    familiar: Cache<TokenDigest, ()>,
    owners: Cache<TokenOwner, ()>,
    allowed: Cache<(Identity, Access), ()>,
    denied: Cache<(Identity, Access), ()>,
}

#[derive(Clone)]
struct Known {
    identity: Identity,
    /// When the verdict ends, where the token states an end.
    until: Option<DateTime<Utc>>,
}

fn space<K, V>(time: Duration) -> Cache<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(ENTRIES).time_to_live(time).build()
}

/// How long a verdict is kept: a positive one, and a negative one.
#[derive(Debug, Clone, Copy)]
pub struct VerdictTimes {
    pub yes: Duration,
    pub no: Duration,
}

impl Verdicts {
    pub fn new(times: VerdictTimes) -> Self {
        Verdicts {
            known: space(times.yes),
            refused: space(times.no),
            familiar: space(FAMILIAR),
            owners: space(FAMILIAR),
            allowed: space(times.yes),
            denied: space(times.no),
        }
    }

    /// The verdict on a token: `Some(None)` if the token was refused, `None` if no verdict is known.
    pub fn of_token(&self, digest: &TokenDigest, now: DateTime<Utc>) -> Option<Option<Identity>> {
        match self.known.get(digest) {
            Some(known) if known.until.is_none_or(|end| now < end) => Some(Some(known.identity)),
            Some(_) => None,
            None => self.refused.contains_key(digest).then_some(None),
        }
    }

    /// Keeps a verdict on a token that says it ends at `expires`.
    pub fn learn_token(
        &self,
        digest: TokenDigest,
        identity: Option<Identity>,
        expires: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        match identity {
            Some(identity) => {
                let until = expires.map(|end| end.max(now + LEEWAY));
                self.known.insert(digest, Known { identity, until });
                self.familiar.insert(digest, ());
            }
            None => {
                self.known.invalidate(&digest);
                self.familiar.invalidate(&digest);
                self.refused.insert(digest, ());
            }
        }
    }

    /// Notes that a token of this owner was accepted.
    pub fn learn_owner(&self, owner: TokenOwner) {
        self.owners.insert(owner, ());
    }

    /// Whether this very token was accepted lately.
    pub fn is_familiar(&self, digest: &TokenDigest) -> bool {
        self.familiar.contains_key(digest)
    }

    /// Whether another token of this owner was accepted lately.
    pub fn is_known_owner(&self, owner: &TokenOwner) -> bool {
        self.owners.contains_key(owner)
    }

    pub fn of_access(&self, identity: &Identity, access: Access) -> Option<bool> {
        let question = (identity.clone(), access);
        match self.allowed.contains_key(&question) {
            true => Some(true),
            false => self.denied.contains_key(&question).then_some(false),
        }
    }

    pub fn learn_access(&self, identity: Identity, access: Access, allowed: bool) {
        let space = if allowed { &self.allowed } else { &self.denied };
        space.insert((identity, access), ());
    }

    /// Forgets all verdicts on tokens, because the tokens have changed.
    pub fn forget(&self) {
        self.known.invalidate_all();
        self.refused.invalidate_all();
        self.familiar.invalidate_all();
    }
}
