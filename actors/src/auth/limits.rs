//! Rate limits, each with a burst of one second.

use crate::error::Exceeded;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

/// A rate limit for each key.
pub struct RateLimit<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    per_second: NonZeroU32,
    clock: DefaultClock,
    /// What is limited, and what one limit is for, in words for clients: `("Too many requests", "service")`.
    words: (&'static str, &'static str),
}

/// What is left of a limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub per_second: u32,
    pub remaining: u32,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    /// `None` if `per_second` is 0: then there is no limit.
    pub fn new(per_second: u32, what: &'static str, of: &'static str) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let limiter = RateLimiter::dashmap(Quota::per_second(per_second)).with_middleware();
        Some(RateLimit { limiter, per_second, clock: DefaultClock::default(), words: (what, of) })
    }

    /// Counts one request.
    ///
    /// # Errors
    /// `Exceeded` when the limit is reached. The error says how long to wait until the next request has room.
    pub fn check(&self, key: &K) -> Result<Allowance, Exceeded> {
        let per_second = self.per_second.get();
        match self.limiter.check_key(key) {
            Ok(state) => Ok(Allowance { per_second, remaining: state.remaining_burst_capacity() }),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                let (what, of) = self.words;
                Err(Exceeded { per_second, what, of, wait })
            }
        }
    }

    /// Forgets keys whose allowance is whole again.
    pub fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// The key under which a peer is counted: its address. For IPv6 it is the /64 network, because one host is given a
/// whole /64 network.
pub fn peer_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}
