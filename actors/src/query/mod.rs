//! Reads incidents, audits and steps back, from a pool that no write waits for.

mod describe_incident;
mod find_incidents;
mod get_audit;
mod get_incident;
mod incident;
mod list_incidents;
mod list_steps;
mod pipeline;
mod recurrence;
mod rows;
mod success_rate;
mod timeline;

pub use describe_incident::{DescribeIncident, IncidentDescription};
pub use find_incidents::{FindIncidents, FoundIncident};
pub use get_audit::GetAudit;
pub use get_incident::{GetIncident, IncidentDetail};
pub use incident::Incident;
pub use list_incidents::{IncidentPage, ListIncidents, PageStart};
pub use list_steps::{ListSteps, Steps};
pub use rows::{AuditRecord, RemediationRecord, WorkflowRecord};
pub use success_rate::{Dimension, GetSuccessRate, SuccessRate, SuccessRates};
pub use timeline::{GetTimeline, Timeline};

use crate::db::pool::{Connection, Pool, PoolSettings};
use crate::db::sqlstate;
use crate::db::timed::timed_raw;
use crate::error::ActorError;
use crate::handle::{Probe, common_handlers};
use crate::metrics::Metrics;
use crate::single_flight::{Joining, SingleFlight};
use crate::supervise::Alive;
use crate::waiting::{Waiting, awaited_handlers};
use actix::prelude::*;
use pipeline::{Ask, Pipeline};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::Error;

pub struct QueryActor {
    pool: PoolSettings,
    metrics: Metrics,
    running: Option<Running>,
    pages: SingleFlight<Rc<ListIncidents>, Arc<IncidentPage>>,
    _alive: Alive,
}

/// What lives on the actor's own runtime.
#[derive(Clone)]
struct Running {
    pool: Pool,
    pipeline: Arc<Pipeline>,
}

/// A short read that takes longer than this gets a connection of its own, where others do not wait behind it.
const QUICK: Duration = Duration::from_millis(250);
/// A connection whose answers are this late is taken for lost.
const LOST: Duration = Duration::from_secs(2);

impl QueryActor {
    pub fn new(pool: PoolSettings, metrics: Metrics, alive: Alive) -> Self {
        QueryActor { pool, metrics, running: None, pages: SingleFlight::new(Joining::BeforeStart), _alive: alive }
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
        F: AsyncFnOnce(&mut Connection) -> Result<T, Error> + 'static,
    {
        let (running, metrics, limit) = (self.running(), self.metrics.clone(), self.limit());
        let waiting = Waiting::current();
        Box::pin(self.counted(operation, async move {
            let running = running?;
            let mut connection = running.pool.get_awaited(&waiting).await?;
            let read = async |own: &mut Connection| timeout(limit, timed_raw(&metrics, transaction, read(own))).await;
            let answer = connection.while_awaited(waiting, read).await?;
            given(answer, transaction, &mut connection)
        }))
    }

    /// As [`Self::read`], not counted, on a shared connection where the read is a quick one; should it turn out not to be, again on its own.
    fn read_either<T, F>(
        &self,
        transaction: &'static str,
        quick: bool,
        waiting: Waiting,
        read: F,
    ) -> impl Future<Output = Result<T, ActorError>> + 'static + use<T, F>
    where
        T: 'static,
        F: AsyncFn(Ask<'_>) -> Result<T, Error> + 'static,
    {
        let (running, metrics, limit) = (self.running(), self.metrics.clone(), self.limit());
        async move {
            let running = running?;
            if quick {
                let shared = running.pipeline.get().await?;
                match timeout(LOST, timed_raw(&metrics, transaction, read(Ask::Shared(&shared)))).await {
                    Ok(Err(error)) if sqlstate::is_timeout(&error) => {}
                    Ok(result) => return result.map_err(|error| sqlstate::handle(&error, transaction)),
                    Err(_) => running.pipeline.discard(&shared).await,
                }
            }
            let mut connection = running.pool.get_awaited(&waiting).await?;
            let read = async |own: &mut Connection| {
                timeout(limit, timed_raw(&metrics, transaction, read(Ask::own(own)))).await
            };
            let answer = connection.while_awaited(waiting, read).await?;
            given(answer, transaction, &mut connection)
        }
    }

    /// Counts a read under the name of its operation, and its time.
    fn counted<T>(
        &self,
        operation: &'static str,
        read: impl Future<Output = Result<T, ActorError>> + 'static,
    ) -> impl Future<Output = Result<T, ActorError>> + 'static {
        let (metrics, started) = (self.metrics.clone(), Instant::now());
        async move {
            let result = read.await;
            let status = match &result {
                Ok(_) => "success",
                // What a client did.
                Err(ActorError::Gone) => return result,
                Err(_) => "failure",
            };
            metrics.query_total.with_label_values(&[operation, status]).inc();
            let seconds = started.elapsed().as_secs_f64();
            metrics.query_duration_seconds.with_label_values(&[operation]).observe(seconds);
            result
        }
    }

    /// How long an answer may take: the server gives a statement up before.
    fn limit(&self) -> Duration {
        self.pool.statement_timeout.unwrap_or(LOST) + LOST
    }

    fn running(&self) -> Result<Running, ActorError> {
        self.running.clone().ok_or(ActorError::Unavailable("the query actor is starting"))
    }
}

/// What came of a read; a connection that did not answer is not used again.
fn given<T>(
    answer: Result<Result<T, Error>, Elapsed>,
    transaction: &'static str,
    connection: &mut Connection,
) -> Result<T, ActorError> {
    let Ok(result) = answer else {
        connection.in_transaction = true;
        return Err(ActorError::Unavailable("PostgreSQL does not answer"));
    };
    result.map_err(|error| sqlstate::handle(&error, transaction))
}

impl Actor for QueryActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // At most half of the connections are shared, one for two cores; the others are for one read at a time. More backends than
        // cores only wait for each other (docs/performance.md).
        let cores = std::thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(2));
        let shared = (self.pool.max / 2).min(cores / 2).max(1);
        let own = PoolSettings { max: (self.pool.max - shared).max(1), ..self.pool.clone() };
        let quick = PoolSettings { statement_timeout: Some(QUICK), ..self.pool.clone() };
        let pipeline = Pipeline::new(Pool::new(&quick, &self.metrics), shared, self.pool.max_lifetime);
        self.running = Some(Running { pool: Pool::new(&own, &self.metrics), pipeline: Arc::new(pipeline) });
        self.metrics.pool_connections_max.with_label_values(&[self.pool.name]).set(self.pool.max.into());
    }
}

common_handlers!(QueryActor);
awaited_handlers!(QueryActor: DescribeIncident, FindIncidents, GetAudit, GetIncident, GetSuccessRate, GetTimeline, ListIncidents, ListSteps);

impl Handler<Probe> for QueryActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let running = self.running();
        Box::pin(async move { running?.pool.probe().await })
    }
}
