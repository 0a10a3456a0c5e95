//! Finds out which identity a token belongs to, and what that identity may do.

mod authenticate;
mod authorize;
mod cluster;
mod gate;
mod limits;
mod reviewer;
mod right;
mod static_tokens;
mod token;
mod verdicts;

pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use cluster::{Cluster, check_cluster};
pub use gate::Gate;
pub use limits::{Allowance, RateLimit, peer_key};
pub use static_tokens::{StaticTokens, TokenFile, TokensError};
pub use token::Token;
pub use verdicts::VerdictTimes;

use crate::domain::identity::{Access, Identity};
use crate::domain::time::Clock;
use crate::error::ActorError;
use crate::handle::{Probe, common_handlers};
use crate::metrics::Metrics;
use crate::single_flight::{Joining, SingleFlight};
use crate::supervise::Alive;
use actix::prelude::*;
use reviewer::Reviewer;
use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use token::{TokenDigest, TokenOwner};
use verdicts::Verdicts;

#[derive(Clone)]
pub struct AuthSettings {
    pub tokens: TokenSource,
    pub access: AccessRules,
    /// The one API server that reviews tokens and rights.
    pub cluster: Option<Cluster>,
    pub times: VerdictTimes,
    /// Most calls to the API server at once.
    pub review_concurrency: usize,
    /// Most token reviews a second for one peer, and most requests a second of one identity. 0 means no limit.
    pub reviews_per_peer: u32,
    pub requests_per_identity: u32,
}

/// How the service learns who a token belongs to.
#[derive(Clone)]
pub enum TokenSource {
    Static(TokenFile),
    /// TokenReview. A token must have one of these audiences; an empty list stands for the API server's own audience.
    Review {
        audiences: Arc<[String]>,
    },
}

/// How the service decides which identity may do what.
#[derive(Clone)]
pub enum AccessRules {
    Lists(Arc<AccessLists>),
    /// SubjectAccessReview in this namespace.
    Rbac {
        namespace: Arc<str>,
    },
}

/// The users that have each right, by their full names.
#[derive(Debug, Clone, Default)]
pub struct AccessLists {
    pub writers_remediation: HashSet<String>,
    pub writers_workflow: HashSet<String>,
    pub readers: HashSet<String>,
}

impl AccessLists {
    fn allow(&self, identity: &Identity, access: Access) -> bool {
        let list = match access {
            Access::WriteRemediation => &self.writers_remediation,
            Access::WriteWorkflow => &self.writers_workflow,
            Access::Read => &self.readers,
        };
        list.contains(&*identity.user)
    }
}

/// How often the actor looks for a changed token file, and forgets idle keys of rate limits.
const UPKEEP: Duration = Duration::from_secs(2);

pub struct AuthActor {
    gate: Gate,
    source: Source,
    access: AccessRules,
    reviewer: Option<Rc<Reviewer>>,
    verdicts: Verdicts,
    /// Calls to the API server. Each goes on to its end, whether or not somebody still waits for it: what it learns is kept.
    token_reviews: SingleFlight<TokenDigest, Option<Identity>>,
    access_reviews: SingleFlight<(Identity, Access), bool>,
    peers: Option<RateLimit<IpAddr>>,
    owners: Option<RateLimit<TokenOwner>>,
    metrics: Metrics,
    clock: Clock,
    _alive: Alive,
}

/// Where the actor looks tokens up.
enum Source {
    Static(TokenFile),
    Review { reviewer: Rc<Reviewer>, audiences: Arc<[String]> },
}

impl AuthActor {
    /// `gate` is the gate in front of this actor. Must be called on the runtime where the actor will live.
    pub fn new(settings: AuthSettings, gate: Gate, metrics: Metrics, clock: Clock, alive: Alive) -> Self {
        let reviewer = settings.cluster.as_ref().map(|cluster| Rc::new(Reviewer::new(cluster, &settings, &metrics)));
        let source = match (&settings.tokens, &reviewer) {
            (TokenSource::Static(file), _) => Source::Static(file.clone()),
            (TokenSource::Review { audiences }, Some(reviewer)) => {
                Source::Review { reviewer: reviewer.clone(), audiences: audiences.clone() }
            }
            // Cannot happen: where tokens are reviewed, the configuration has an API server.
            (TokenSource::Review { .. }, None) => Source::Static(TokenFile::default()),
        };
        AuthActor {
            access: settings.access.clone(),
            peers: RateLimit::new(settings.reviews_per_peer, "Too many unknown tokens", "peer"),
            owners: RateLimit::new(settings.reviews_per_peer, "Too many unknown tokens", "subject"),
            verdicts: gate.verdicts.clone(),
            source,
            gate,
            reviewer,
            token_reviews: SingleFlight::new(Joining::UnderWay),
            access_reviews: SingleFlight::new(Joining::UnderWay),
            metrics,
            clock,
            _alive: alive,
        }
    }

    /// Reads the token file again if it has changed. If the new file is faulty, logs the fault and keeps the old
    /// tokens.
    fn reload(&mut self) {
        let Source::Static(file) = &mut self.source else { return };
        match file.reload() {
            Ok(false) => {}
            Ok(true) => {
                self.verdicts.forget();
                tracing::info!("tokens reloaded");
            }
            Err(fault) => tracing::error!(fault, "the token file is not taken up"),
        }
    }

    fn forget_idle(&self) {
        self.gate.forget_idle();
        if let Some(limit) = &self.peers {
            limit.forget_idle();
        }
        if let Some(limit) = &self.owners {
            limit.forget_idle();
        }
    }
}

impl Actor for AuthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(UPKEEP, |actor, _| {
            actor.reload();
            if let Some(reviewer) = &actor.reviewer {
                reviewer.reload();
            }
            actor.forget_idle();
        });
    }
}

common_handlers!(AuthActor);

impl Handler<Probe> for AuthActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    /// Whether the API server reviews what it is asked; at once where none is asked.
    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let reviewer = self.reviewer.clone();
        Box::pin(async move {
            match reviewer {
                Some(reviewer) => Ok(reviewer.probe().await?),
                None => Ok(()),
            }
        })
    }
}
