//! Similar incidents: asks the embedder for a text's vector, the vector store for patterns that are near it and their incidents, and
//! the query actor for the incidents themselves (docs/recall.md).

mod ask;
mod check_recall;
mod collapse;
mod coverage;
mod expand;
mod explain;
mod features;
mod find_similar;
mod gather;
mod harvest;
mod hit;
mod look;
mod nearest;
mod plan;
mod rank;
mod read_active;
mod score;
mod spelling;
mod summary;

pub use coverage::Coverage;
pub use expand::{added_terms, expanded};
pub use explain::Explanation;
pub use find_similar::{FindSimilar, Similar};
pub use hit::Hit;
use hit::closeness;
pub use score::{Estimate, Frequencies, Profile, Query, Why, score};
pub use spelling::StoreTerms;
pub use summary::{Action, Summary};

use crate::db::pool::{Pool, PoolSettings};
use crate::domain::time::Clock;
use crate::embedder::{EmbedderActor, Spaces};
use crate::error::ActorError;
use crate::handle::{Handle, Probe, common_handlers};
use crate::metrics::Metrics;
use crate::query::QueryActor;
use crate::supervise::Alive;
use crate::waiting::awaited_handlers;
use actix::prelude::*;
use ask::KnownTerms;
use check_recall::Sample;
use coverage::StoreCounts;
use features::KnownFeatures;
use nearest::{HeldPatterns, hold_patterns};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;

#[derive(Clone)]
pub struct SimilaritySettings {
    pub pool: PoolSettings,
    /// Whose vectors are searched; `None` where there is no embedder.
    pub spaces: Option<Spaces>,
    /// Within which an alert that comes back makes a completed remediation a recurred one.
    pub recurrence_window: Duration,
}

pub struct SimilarityActor {
    parts: Rc<Parts>,
    pool: Option<Pool>,
    _alive: Alive,
}

/// What all searches share.
struct Parts {
    settings: SimilaritySettings,
    embedder: Handle<EmbedderActor>,
    query: Handle<QueryActor>,
    metrics: Metrics,
    clock: Clock,
    counts: RefCell<StoreCounts>,
    /// Held while they are taken anew beside the searches.
    counting: Mutex<()>,
    sample: RefCell<Sample>,
    known: KnownFeatures,
    held: HeldPatterns,
    terms: RefCell<KnownTerms>,
}

impl SimilarityActor {
    pub fn new(
        settings: SimilaritySettings,
        embedder: Handle<EmbedderActor>,
        query: Handle<QueryActor>,
        metrics: Metrics,
        clock: Clock,
        alive: Alive,
    ) -> Self {
        let parts = Parts {
            settings,
            embedder,
            query,
            metrics,
            clock,
            counts: RefCell::default(),
            counting: Mutex::default(),
            sample: RefCell::default(),
            known: KnownFeatures::default(),
            held: HeldPatterns::default(),
            terms: RefCell::default(),
        };
        SimilarityActor { parts: Rc::new(parts), pool: None, _alive: alive }
    }

    fn pool(&self) -> Result<Pool, ActorError> {
        self.pool.clone().ok_or(ActorError::Unavailable("the similarity actor is starting"))
    }
}

impl Actor for SimilarityActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.pool = Some(Pool::new(&self.parts.settings.pool, &self.parts.metrics));
        ctx.run_interval(read_active::EVERY, |actor, _| {
            if let (Some(pool), true) = (actor.pool.clone(), actor.parts.settings.spaces.is_some()) {
                let parts = actor.parts.clone();
                actix::spawn(async move { parts.keep_up(&pool).await });
            }
        });
        ctx.run_interval(check_recall::EVERY, |actor, _| {
            if let Some(pool) = actor.pool.clone() {
                let parts = actor.parts.clone();
                actix::spawn(async move { parts.check_recall(&pool).await });
            }
        });
    }
}

impl Parts {
    /// Learns whose vectors are searched, and keeps the held patterns up with the store.
    async fn keep_up(&self, pool: &Pool) {
        let Some(spaces) = &self.settings.spaces else { return };
        if read_active::read_active(pool, spaces).await {
            hold_patterns(pool, &self.metrics, spaces, &self.held).await;
        }
    }
}

common_handlers!(SimilarityActor);
awaited_handlers!(SimilarityActor: FindSimilar);

impl Handler<Probe> for SimilarityActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.pool();
        Box::pin(async move { Ok(pool?.probe().await?) })
    }
}
