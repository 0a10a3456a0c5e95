use super::QueryActor;
use super::groups::{behind, columns, key, names, values};
use super::recurrence::{RecurredOfMany, recurred_of_many};
use crate::attempts::Rates;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, one_of, where_all};
use crate::db::template::{STATED_AT, last_action, last_end};
use crate::domain::dimension::Dimension;
use crate::domain::facts::{Fact, grouped, identifying, only_filtered};
use crate::domain::filter::IncidentFilter;
use crate::domain::outcome::{ENOUGH, Tally};
use crate::domain::walk::WalkCursor;
use crate::error::ActorError;
use actix::prelude::*;
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::Row;

/// Asks how often remediations worked, by what they have in common.
#[derive(Message)]
#[rtype(result = "Result<SuccessRates, ActorError>")]
pub struct GetSuccessRate {
    pub filter: IncidentFilter,
    /// At least one, none twice.
    pub group_by: Vec<&'static Dimension>,
    /// Groups, those of most attempts first.
    pub limit: i64,
    /// The group behind which they begin.
    pub after: Option<WalkCursor>,
    pub recurrence_window: Duration,
    /// Whether all attempts may be read into memory for it.
    pub may_hold: bool,
}

#[derive(Debug)]
pub struct SuccessRates {
    pub groups: Vec<SuccessRate>,
    /// Set where there is more.
    pub next: Option<WalkCursor>,
}

/// One group. Only attempts that are over count: completed, failed (or rolled back) and recurred.
#[derive(Debug, Serialize)]
pub struct SuccessRate {
    /// The values of the dimensions, under their names.
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
        let (reader, attempts) = (self.reader(), self.attempts.clone());
        Box::pin(async move {
            if let Some(rates) = attempts.rates(&reader, &message).await? {
                return Ok(rates);
            }
            reader.read_many("query.success_rate", BY_HASH, &message, statement, answer).await
        })
    }
}

/// A nested loop would copy all times of a place for each of its incidents. So would a sort, had it not been found out before whether an
/// incident recurred: OFFSET 0 in the statement sees to that, which a node of a distributed database cannot be told.
const BY_HASH: &str = "; SET LOCAL enable_nestloop = off/*distributed ; SET LOCAL enable_sort = off */";

fn answer(message: &GetSuccessRate, mut rows: Vec<Row>) -> SuccessRates {
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| WalkCursor { rank: row.get("n"), key: row.get("key") });
    let groups = rows.iter().map(|row| {
        let count = |name: &str| row.get::<_, i64>(name).unsigned_abs();
        let tally = Tally { completed: count("completed"), failed: count("failed"), recurred: count("recurred") };
        SuccessRate::of(values(row, &message.group_by), tally, row.get("median_duration"))
    });
    SuccessRates { groups: groups.collect(), next }
}

impl From<Rates> for SuccessRates {
    fn from(rates: Rates) -> Self {
        let groups = rates.groups.into_iter();
        let groups = groups.map(|rate| SuccessRate::of(rate.group, rate.tally, rate.median_duration));
        SuccessRates { groups: groups.collect(), next: rates.next }
    }
}

impl SuccessRate {
    fn of(group: serde_json::Map<String, serde_json::Value>, tally: Tally, median_duration: Option<f64>) -> Self {
        SuccessRate {
            group,
            n: tally.n(),
            completed: tally.completed,
            failed: tally.failed,
            recurred: tally.recurred,
            success_rate: tally.success_rate(),
            interval: tally.interval(),
            median_duration,
            insufficient_data: tally.n() < ENOUGH,
        }
    }
}

/// Every ended attempt: the last of each incident, and those before it with the facts of their incident. What an attempt has itself stands
/// in place of what the incident has.
fn attempts() -> [String; 2] {
    let is_own = |fact: &&Fact| ["action_type", "execution_status"].contains(&fact.column);
    let of_incident: String = grouped()
        .chain(only_filtered())
        .filter(|fact| !is_own(fact))
        .map(|fact| format!(", t.{}", fact.column))
        .collect();
    let of_incident = format!("t.bucket, t.id, t.correlation_id, t.action_timestamp{of_incident}");
    let (last_action, last_end) = (last_action(), last_end(STATED_AT));
    let last = format!(
        "SELECT {of_incident}, {last_action} AS action_type, t.execution_status, t.duration_ms, {last_end} AS ended_at
            FROM resource_action_traces AS t"
    );
    let earlier = format!(
        "SELECT {of_incident}, e.action_type, e.execution_status, e.duration_ms, e.ended_at
            FROM earlier_attempts AS e
            /*whole*/CROSS JOIN LATERAL (
                SELECT i.* FROM resource_action_traces AS i
                WHERE i.bucket = e.bucket AND i.id = e.incident_id AND i.action_timestamp = e.action_timestamp
                OFFSET 0
            ) AS t/*end*/
            /*distributed JOIN resource_action_traces AS t
                ON t.bucket = e.bucket AND t.id = e.incident_id AND t.action_timestamp = e.action_timestamp */"
    );
    [last, earlier]
}

fn statement(message: &GetSuccessRate) -> ComposedStatement<'_> {
    let window = i64::try_from(message.recurrence_window.as_secs()).unwrap_or(i64::MAX / 2);
    let mut values = vec![SqlValue::Number(window), SqlValue::Number(message.limit + 1)];
    let mut clauses = vec!["t.execution_status IN ('completed', 'failed', 'rolled_back')".to_owned()];
    clauses.extend(conditions(&message.filter, FactSource::OfIncidents, &mut values));
    let RecurredOfMany { with, join, recurred } = recurred_of_many(1, &of_same_place(message, &mut values));
    let after: Vec<String> = message.after.iter().map(|cursor| behind(cursor, "n", true, &mut values)).collect();
    let (facts, names, key) = (columns(&message.group_by), names(&message.group_by), key(&message.group_by));
    let (group, conditions, after) = (&names[2..], where_all(&clauses), where_all(&after));
    let [last, earlier] = attempts();
    let counts = "count(*) AS n,
        count(*) FILTER (WHERE s.execution_status = 'completed' AND NOT s.recurred) AS completed,
        count(*) FILTER (WHERE s.execution_status <> 'completed') AS failed,
        count(*) FILTER (WHERE s.recurred) AS recurred,
        array_agg(s.duration_ms) AS durations";
    let ended = |attempts: &str| {
        format!(
            "SELECT t.execution_status, t.duration_ms, {recurred} AS recurred{facts}\n        FROM ({attempts}) AS t{join}{conditions}"
        )
    };
    // Where the tables are distributed, the nodes count each kind of attempt by itself.
    let either = [&last, &earlier].map(|attempts| {
        format!("SELECT {counts}{names}\n        FROM ({}) AS s\n        GROUP BY {group}", ended(attempts))
    });
    let (ended, either) = (
        ended(&format!("{last}\n            UNION ALL\n            {earlier}")),
        either.join("\n        UNION ALL\n        "),
    );
    let sql = format!(
        "-- query.success_rate
WITH {with}
SELECT
    g.n, g.completed, g.failed, g.recurred, g.key{names},
    (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY d.ms) FROM unnest(g.durations) AS d (ms)) AS median_duration
FROM (
    SELECT
        /*whole*/{counts},/*end*/
        /*distributed sum(s.n)::bigint AS n, sum(s.completed)::bigint AS completed, sum(s.failed)::bigint AS failed,
        sum(s.recurred)::bigint AS recurred, array_cat_agg(s.durations) AS durations, */
        {key} AS key{names}
    FROM (
        /*whole*/{ended}
        OFFSET 0/*end*/
        /*distributed {either} */
    ) AS s
    GROUP BY {group}
) AS g{after}
ORDER BY n DESC, key
LIMIT $2"
    );
    ComposedStatement { sql, values }
}

/// The conditions of the filter on what a remediation has in common with the incident that it recurs in.
fn of_same_place<'a>(message: &'a GetSuccessRate, values: &mut Vec<SqlValue<'a>>) -> Vec<String> {
    let is_common = |fact: &Fact| identifying().any(|common| common.column == fact.column);
    let common = message.filter.facts().filter(|(fact, _)| is_common(fact));
    common.map(|(fact, texts)| format!("o.{} {}", fact.column, one_of(texts, values))).collect()
}
