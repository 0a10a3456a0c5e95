//! Reads incidents, audits and steps back, from a pool that no write waits for.

mod attempts;
mod count_incidents;
mod counts;
mod describe_incident;
mod facets;
mod find_incidents;
mod get_audit;
mod get_incident;
mod groups;
mod incident;
mod list_audits;
mod list_history;
mod list_incidents;
mod list_steps;
mod list_workflows;
mod pipeline;
mod read_attempts;
mod read_sources;
mod read_texts;
mod recurrence;
mod rows;
mod shard_reader;
mod success_rate;
mod timeline;
mod totals;

pub use counts::{GetCounts, PeriodCount, PeriodCounts};
pub use describe_incident::{DescribeIncident, IncidentDescription, Place};
pub use facets::{Facet, FacetValue, GetFacets};
pub use find_incidents::{Attempt, FindIncidents, FoundIncident};
pub use get_audit::GetAudit;
pub use get_incident::{GetIncident, IncidentDetail};
pub use incident::Incident;
pub use list_audits::{Audits, ListAudits};
pub use list_history::ListHistory;
pub use list_incidents::{IncidentPage, ListIncidents, PageStart};
pub use list_steps::{ListSteps, Steps};
pub use list_workflows::{ListWorkflows, Workflow, Workflows};
pub use read_attempts::{AttemptSource, ReadAttempts};
pub use read_sources::{AuditSource, ReadSources};
pub use read_texts::{IncidentText, ReadTexts};
pub use rows::{AuditRecord, RemediationRecord, WorkflowRecord};
pub use success_rate::{GetSuccessRate, SuccessRate, SuccessRates};
pub use timeline::{GetTimeline, Timeline};

use crate::db::connection::Connection;
use crate::db::pool::{Pool, PoolSettings};
use crate::db::sqlstate::DatabaseFault;
use crate::db::statement::ComposedStatement;
use crate::db::template::placed;
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::error::ActorError;
use crate::handle::{Probe, common_handlers};
use crate::metrics::Metrics;
use crate::single_flight::{Joining, SingleFlight};
use crate::supervise::Alive;
use crate::waiting::{awaited_handlers, left};
use actix::prelude::*;
use attempts::Attempts;
use futures_util::join;
use pipeline::{Ask, Pipeline};
use shard_reader::ShardReader;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::{Error, Row};
use totals::Totals;

pub struct QueryActor {
    settings: PoolSettings,
    metrics: Metrics,
    pools: Option<Pools>,
    pages: SingleFlight<Rc<ListIncidents>, Arc<IncidentPage>>,
    totals: Totals,
    attempts: Attempts,
    _alive: Alive,
}

/// What lives on the actor's own runtime.
#[derive(Clone)]
struct Pools {
    /// A connection for one read at a time.
    own: Pool,
    /// A connection for reading the counts, which must not stand in line behind slow reads: every list with a total waits for it.
    counts: Pool,
    shared: Arc<Pipeline>,
    /// Set where reads may go straight to the nodes of a distributed database.
    direct: Option<Rc<ShardReader>>,
}

/// A short read that takes longer than this gets a connection of its own, where others do not wait behind it.
const QUICK: Duration = Duration::from_millis(250);
/// A shared connection whose answers are this late is taken for lost.
const LOST: Duration = Duration::from_secs(2);

impl QueryActor {
    pub fn new(settings: PoolSettings, metrics: Metrics, alive: Alive) -> Self {
        let totals = Totals::new();
        QueryActor {
            settings,
            attempts: Attempts::new(totals.clone(), metrics.clone()),
            metrics,
            pools: None,
            pages: SingleFlight::new(Joining::BeforeStart),
            totals,
            _alive: alive,
        }
    }

    /// Runs a read on a connection of the pool. `transaction` is the name that opens its statements.
    fn read<T, F>(&self, transaction: &'static str, read: F) -> ResponseFuture<Result<T, ActorError>>
    where
        T: 'static,
        F: AsyncFnOnce(&mut Connection) -> Result<T, Error> + 'static,
    {
        let reader = self.reader();
        Box::pin(async move { reader.read(transaction, read).await })
    }

    /// Runs a read of the rows of one bucket, where these are.
    fn read_bucket<T, F>(
        &self,
        transaction: &'static str,
        bucket: Bucket,
        read: F,
    ) -> ResponseFuture<Result<T, ActorError>>
    where
        T: 'static,
        F: AsyncFn(&mut Connection) -> Result<T, Error> + 'static,
    {
        let reader = self.reader();
        Box::pin(async move { reader.read_bucket(transaction, bucket, read).await })
    }

    /// For reads of several parts.
    fn reader(&self) -> Reader {
        let is_distributed = self.settings.database.distribution().is_some();
        Reader { pools: self.pools(), limit: self.limit(), is_distributed }
    }

    /// How long an answer may take: the server gives a statement up before.
    fn limit(&self) -> Duration {
        self.settings.statement_timeout.unwrap_or(LOST) + LOST
    }

    fn pools(&self) -> Result<Pools, ActorError> {
        self.pools.clone().ok_or(ActorError::Unavailable("the query actor is starting"))
    }
}

/// Runs reads on the connections that suit them.
#[derive(Clone)]
struct Reader {
    pools: Result<Pools, ActorError>,
    limit: Duration,
    is_distributed: bool,
}

impl Reader {
    /// Runs a read on a connection of its own.
    async fn read<T>(
        &self,
        transaction: &'static str,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, ActorError> {
        let pools = self.pools.clone()?;
        let mut connection = pools.own.get().await?;
        Ok(connection.autocommit(transaction, self.limit, async |tx| read(tx).await).await?)
    }

    /// Runs a read of the rows of one bucket, where these are.
    async fn read_bucket<T>(
        &self,
        transaction: &'static str,
        bucket: Bucket,
        read: impl AsyncFn(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, ActorError> {
        if let Some(direct) = self.pools.clone()?.direct
            && let Some(found) = direct.read(transaction, self.limit, bucket, &read).await?
        {
            return Ok(found);
        }
        self.read(transaction, read).await
    }

    /// Runs a read on a shared connection where it is a quick one; should it turn out not to be, again on its own.
    async fn read_either<T>(
        &self,
        transaction: &'static str,
        quick: bool,
        read: impl AsyncFn(Ask<'_>) -> Result<T, Error>,
    ) -> Result<T, ActorError> {
        let pools = self.pools.clone()?;
        if quick {
            let shared = pools.shared.get().await?;
            let asked = Instant::now();
            match shared.read(transaction, LOST, read(Ask::Shared(&shared))).await {
                Err(error) if error.fault == DatabaseFault::Cancelled => {}
                Err(error) if shared.is_silent_since(asked) => {
                    pools.shared.discard(&shared).await;
                    if error.fault != DatabaseFault::Late || left().is_zero() {
                        return Err(error.into());
                    }
                }
                // It waited behind others for too long.
                Err(error) if error.fault == DatabaseFault::Late && !left().is_zero() => {}
                result => return Ok(result?),
            }
        }
        let mut connection = pools.own.get().await?;
        Ok(connection.autocommit(transaction, self.limit, async |tx| read(Ask::own(tx)).await).await?)
    }

    /// Runs one statement that reads many incidents, with the planner's switches for that (`groups.rs`) and further ones.
    async fn read_many<M, T>(
        &self,
        transaction: &'static str,
        switches: &'static str,
        message: &M,
        statement: fn(&M) -> ComposedStatement<'_>,
        answer: fn(&M, Vec<Row>) -> T,
    ) -> Result<T, ActorError> {
        let pools = self.pools.clone()?;
        let mut connection = pools.own.get().await?;
        let read = async |tx: &mut Transaction<'_>| {
            let (client, statement) = (tx.client(), statement(message));
            let switches = format!("{}{switches}", groups::READ_MANY);
            let switches = placed(&switches, tx.is_distributed());
            let (switched, rows) = join!(client.batch_execute(&switches), statement.query(tx));
            switched?;
            rows
        };
        Ok(answer(message, connection.transaction(transaction, self.limit, read).await?))
    }
}

impl Actor for QueryActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(totals::REST, |actor, _| {
            actor.totals.rest();
            actor.attempts.rest();
        });
        ctx.run_interval(attempts::KEEP_UP, |actor, _| actor.attempts.keep_up(actor.reader()));
        // At most half of the connections are shared, one for two cores. One is for the counts, and the others for one read at a time.
        // More backends than cores only wait for each other (docs/performance.md).
        let cores = std::thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(2));
        let settings = &self.settings;
        let shared = (settings.max / 2).min(cores / 2).max(1);
        let reserved = u32::from(settings.max > 2);
        let own = PoolSettings { max: (settings.max - shared - reserved).max(1), ..settings.clone() };
        let counts = PoolSettings { max: 1, ..settings.clone() };
        let quick = PoolSettings { statement_timeout: Some(QUICK), ..settings.clone() };
        let own = Pool::new(&own, &self.metrics);
        let shared = Arc::new(Pipeline::new(own.beside(&quick), shared, settings.max_lifetime));
        let looked_at = Arc::downgrade(&shared);
        self.metrics.pool_connections.watch(settings.name, move || looked_at.upgrade().map(|shared| shared.open()));
        let counts = if reserved > 0 { own.beside(&counts) } else { own.clone() };
        let is_direct = settings.database.distribution().is_some_and(|distribution| distribution.direct);
        let direct = is_direct.then(|| Rc::new(ShardReader::new(settings, self.metrics.clone(), own.clone())));
        if let Some(direct) = direct.clone() {
            actix::spawn(async move { direct.find_shards().await });
            ctx.run_interval(shard_reader::AGAIN, |actor, _| {
                let Some(direct) = actor.pools.as_ref().and_then(|pools| pools.direct.clone()) else { return };
                actix::spawn(async move { direct.find_shards().await });
            });
        }
        self.pools = Some(Pools { own, counts, shared, direct });
        self.metrics.pool_connections_max.with_label_values(&[settings.name]).set(settings.max.into());
    }
}

common_handlers!(QueryActor);
awaited_handlers!(
    QueryActor: DescribeIncident, FindIncidents, GetAudit, GetCounts, GetFacets, GetIncident, GetSuccessRate, GetTimeline, ListAudits,
    ListHistory, ListIncidents, ListSteps, ListWorkflows, ReadAttempts, ReadSources, ReadTexts
);

impl Handler<Probe> for QueryActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let pools = self.pools();
        Box::pin(async move { Ok(pools?.own.probe().await?) })
    }
}
