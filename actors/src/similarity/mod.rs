//! Similar incidents: asks the embedder for a text's vector, the vector store for patterns that are near it and their incidents, and
//! the query actor for the incidents themselves (docs/recall.md).

mod candidates;
mod check_recall;
mod coverage;
mod features;
mod find_similar;
mod held_patterns;
mod read_active;
mod score;
mod summary;

pub use coverage::Coverage;
pub use find_similar::{FindSimilar, Hit, Similar};
pub use score::{Frequencies, Profile, Query, Why, score};
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
use check_recall::Sample;
use coverage::Counts;
use features::KnownFeatures;
use held_patterns::{HeldPatterns, hold_patterns};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone)]
pub struct SimilaritySettings {
    pub pool: PoolSettings,
    /// Whose vectors are searched; `None` where there is no embedder.
    pub spaces: Option<Spaces>,
    /// Within which an alert that comes back makes a completed remediation a recurred one.
    pub recurrence_window: Duration,
}

pub struct SimilarityActor {
    settings: SimilaritySettings,
    embedder: Handle<EmbedderActor>,
    query: Handle<QueryActor>,
    metrics: Metrics,
    clock: Clock,
    counts: Rc<RefCell<Counts>>,
    sample: Rc<RefCell<Sample>>,
    known: Rc<KnownFeatures>,
    held: Rc<HeldPatterns>,
    running: Option<Pool>,
    _alive: Alive,
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
        let (counts, sample, known, held) = (Rc::default(), Rc::default(), Rc::default(), Rc::default());
        SimilarityActor {
            settings,
            embedder,
            query,
            metrics,
            clock,
            counts,
            sample,
            known,
            held,
            running: None,
            _alive: alive,
        }
    }
}

impl Actor for SimilarityActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.running = Some(Pool::new(&self.settings.pool, &self.metrics));
        ctx.run_interval(read_active::EVERY, |actor, _| {
            if let (Some(pool), Some(spaces)) = (&actor.running, &actor.settings.spaces) {
                let (pool, metrics, spaces) = (pool.clone(), actor.metrics.clone(), spaces.clone());
                let held = actor.held.clone();
                actix::spawn(async move {
                    if read_active::read_active(&pool, &metrics, &spaces).await {
                        hold_patterns(&pool, &metrics, &spaces, &held).await;
                    }
                });
            }
        });
        ctx.run_interval(check_recall::EVERY, |actor, _| {
            let queries = actor.sample.borrow_mut().take();
            let space = actor.settings.spaces.as_ref().and_then(|spaces| spaces.searched().ok());
            if let (Some(pool), Some(space), false) = (&actor.running, space, queries.is_empty()) {
                let check = check_recall::check_recall(
                    pool.clone(),
                    actor.metrics.clone(),
                    space.clone(),
                    queries,
                    actor.known.clone(),
                );
                actix::spawn(check);
            }
        });
    }
}

common_handlers!(SimilarityActor);
awaited_handlers!(SimilarityActor: FindSimilar);

impl Handler<Probe> for SimilarityActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.clone();
        Box::pin(async move { pool.ok_or(ActorError::Unavailable("starting"))?.probe().await })
    }
}
