use super::QueryActor;
use super::recurrence::{RecurredOfMany, recurred_of_many};
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::db::transaction::Transaction;
use crate::domain::facts::Fact;
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::{ENOUGH, Tally};
use crate::error::ActorError;
use actix::prelude::*;
use futures_util::join;
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::Error;

/// Asks how often remediations worked, by what they have in common.
#[derive(Message)]
#[rtype(result = "Result<SuccessRates, ActorError>")]
pub struct GetSuccessRate {
    pub filter: IncidentFilter,
    /// Counted facts: at least one, none twice.
    pub group_by: Vec<&'static Fact>,
    /// Groups, those of most remediations first.
    pub limit: i64,
    pub recurrence_window: Duration,
}

#[derive(Debug)]
pub struct SuccessRates {
    pub groups: Vec<SuccessRate>,
    pub more: bool,
}

/// One group. Only remediations that are over count: completed, failed (or rolled back) and recurred.
#[derive(Debug, Serialize)]
pub struct SuccessRate {
    /// The values of these facts, under the names of the filters.
    #[serde(flatten)]
    pub group: serde_json::Map<String, serde_json::Value>,
    pub n: u64,
    pub completed: u64,
    pub failed: u64,
    pub recurred: u64,
    pub success_rate: Option<f64>,
    pub interval: Option<[f64; 2]>,
    /// Milliseconds, of those whose duration is known.
    pub median_duration: Option<f64>,
    /// Whether `n` is too small to tell.
    pub insufficient_data: bool,
}

impl Handler<GetSuccessRate> for QueryActor {
    type Result = ResponseFuture<Result<SuccessRates, ActorError>>;

    fn handle(&mut self, message: GetSuccessRate, _: &mut Self::Context) -> Self::Result {
        let (pools, limit) = (self.pools(), self.limit());
        let rates = async move {
            let pools = pools?;
            let mut connection = pools.own.get().await?;
            let rates = async |tx: &mut Transaction<'_>| get(tx, &message).await;
            Ok(connection.transaction("query.success_rate", limit, rates).await?)
        };
        Box::pin(self.counted("success_rate", rates))
    }
}

/// All incidents of the filter are read, and joined with what came later: the switches of the connection are for a few rows. A nested
/// loop would copy all times of a place for each of its incidents. So would a sort, had it not been found out before whether an
/// incident recurred: OFFSET 0 in the statement sees to that.
const SWITCHES: &str = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_nestloop = off; \
                        SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '32MB'";

async fn get(tx: &mut Transaction<'_>, message: &GetSuccessRate) -> Result<SuccessRates, Error> {
    let statement = statement(message);
    let client = tx.client();
    let (switched, rows) = join!(client.batch_execute(SWITCHES), statement.query(tx));
    switched?;
    let mut rows = rows?;
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let groups = rows.iter().map(|row| {
        let group = message
            .group_by
            .iter()
            .filter_map(|fact| Some((fact.filter?.to_owned(), row.get::<_, Option<String>>(fact.column).into())));
        let count = |name: &str| row.get::<_, i64>(name).unsigned_abs();
        let tally = Tally { completed: count("completed"), failed: count("failed"), recurred: count("recurred") };
        SuccessRate {
            group: group.collect(),
            n: tally.n(),
            completed: tally.completed,
            failed: tally.failed,
            recurred: tally.recurred,
            success_rate: tally.success_rate(),
            interval: tally.interval(),
            median_duration: row.get("median_duration"),
            insufficient_data: tally.n() < ENOUGH,
        }
    });
    Ok(SuccessRates { groups: groups.collect(), more })
}

fn statement(message: &GetSuccessRate) -> ComposedStatement<'_> {
    let window = i64::try_from(message.recurrence_window.as_secs()).unwrap_or(i64::MAX / 2);
    let mut values = vec![SqlValue::Number(window), SqlValue::Number(message.limit + 1)];
    let mut clauses = vec!["t.execution_status IN ('completed', 'failed', 'rolled_back')".to_owned()];
    clauses.extend(conditions(&message.filter, FactSource::OfIncidents, &mut values));
    let columns: Vec<&str> = message.group_by.iter().map(|fact| fact.column).collect();
    let facts = columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
    let RecurredOfMany { with, join, recurred } = recurred_of_many(1, &of_same_place(message, &mut values));
    let (columns, conditions) = (columns.join(", "), where_all(&clauses));
    let sql = format!(
        "-- query.success_rate
WITH {with}
SELECT
    {columns}, g.n, g.completed, g.failed, g.recurred,
    (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY d.ms) FROM unnest(g.durations) AS d (ms)) AS median_duration
FROM (
    SELECT
        {columns}, count(*) AS n,
        count(*) FILTER (WHERE s.execution_status = 'completed' AND NOT s.recurred) AS completed,
        count(*) FILTER (WHERE s.execution_status <> 'completed') AS failed,
        count(*) FILTER (WHERE s.recurred) AS recurred,
        array_agg(s.duration_ms) AS durations
    FROM (
        SELECT {facts}, t.execution_status, t.duration_ms, {recurred} AS recurred
        FROM resource_action_traces AS t{join}{conditions}
        OFFSET 0
    ) AS s
    GROUP BY {columns}
) AS g
ORDER BY n DESC, {columns}
LIMIT $2"
    );
    ComposedStatement { sql, values }
}

/// The conditions of the filter on what a remediation has in common with the incident that it recurs in.
fn of_same_place<'a>(message: &'a GetSuccessRate, values: &mut Vec<SqlValue<'a>>) -> Vec<String> {
    let is_common = |fact: &Fact| ["alert_name", "namespace", "cluster_name"].contains(&fact.column);
    let common = message.filter.facts().filter(|(fact, _)| is_common(fact));
    common
        .map(|(fact, value)| {
            values.push(SqlValue::Text(value));
            format!("o.{} = ${}", fact.column, values.len())
        })
        .collect()
}
