//! Reads incidents, audits and steps back, from a pool that no write waits for.

mod get_audit;
mod get_incident;
mod list_incidents;
mod list_steps;
mod rows;

pub use get_audit::GetAudit;
pub use get_incident::{GetIncident, IncidentDetail};
pub use list_incidents::{IncidentPage, ListIncidents, PageStart};
pub use list_steps::{ListSteps, Steps};
pub use rows::{AuditRecord, Incident, RemediationRecord, WorkflowRecord};

use crate::db::pool::{Connection, Pool, PoolSettings};
use crate::db::timed::timed;
use crate::error::ActorError;
use crate::handle::{Ping, Probe};
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;
use std::time::Instant;

pub struct QueryActor {
    pool: PoolSettings,
    metrics: Metrics,
    running: Option<Pool>,
    _alive: Alive,
}

impl QueryActor {
    pub fn new(pool: PoolSettings, metrics: Metrics, alive: Alive) -> Self {
        QueryActor { pool, metrics, running: None, _alive: alive }
    }

    /// Runs a read on a connection of the pool, and counts it under the name of its operation. `transaction` is the name
    /// that opens its statements.
    fn read<T, F>(
        &self,
        operation: &'static str,
        transaction: &'static str,
        read: F,
    ) -> ResponseFuture<Result<T, ActorError>>
    where
        T: 'static,
        F: AsyncFnOnce(&mut Connection) -> Result<T, tokio_postgres::Error> + 'static,
    {
        let (pool, metrics) = (self.running.clone(), self.metrics.clone());
        Box::pin(async move {
            let started = Instant::now();
            let result = async {
                let pool = pool.ok_or(ActorError::Unavailable("the query actor is starting"))?;
                let mut connection = pool.get().await?;
                timed(&metrics, transaction, read(&mut connection)).await
            }
            .await;
            let status = if result.is_ok() { "success" } else { "failure" };
            metrics.query_total.with_label_values(&[operation, status]).inc();
            let seconds = started.elapsed().as_secs_f64();
            metrics.query_duration_seconds.with_label_values(&[operation]).observe(seconds);
            result
        })
    }
}

impl Actor for QueryActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.running = Some(Pool::new(&self.pool, &self.metrics));
    }
}

impl Handler<Ping> for QueryActor {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        Ok(())
    }
}

impl Handler<Probe> for QueryActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pool = self.running.clone();
        Box::pin(async move { pool.ok_or(ActorError::Unavailable("the query actor is starting"))?.probe().await })
    }
}
