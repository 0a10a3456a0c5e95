//! Reads the vector store.

use crate::db::pool::{Pool, PoolSettings};
use crate::error::ActorError;
use crate::handle::{Ping, Probe};
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;

pub struct SimilarityActor {
    pool: PoolSettings,
    metrics: Metrics,
    running: Option<Pool>,
    _alive: Alive,
}

impl SimilarityActor {
    pub fn new(pool: PoolSettings, metrics: Metrics, alive: Alive) -> Self {
        SimilarityActor { pool, metrics, running: None, _alive: alive }
    }
}

impl Actor for SimilarityActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.running = Some(Pool::new(&self.pool, &self.metrics));
    }
}

impl Handler<Ping> for SimilarityActor {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        Ok(())
    }
}

impl Handler<Probe> for SimilarityActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.clone();
        Box::pin(async move { pool.ok_or(ActorError::Unavailable("starting"))?.probe().await })
    }
}
