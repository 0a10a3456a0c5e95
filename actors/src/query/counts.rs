use super::QueryActor;
use super::groups::{behind, columns, key, names, values};
use super::rows::raw_json;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::domain::dimension::Dimension;
use crate::domain::filter::IncidentFilter;
use crate::domain::time::serialize;
use crate::domain::walk::WalkCursor;
use crate::error::ActorError;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

/// Asks how many incidents there were over time, by status.
#[derive(Message)]
#[rtype(result = "Result<PeriodCounts, ActorError>")]
pub struct GetCounts {
    pub filter: IncidentFilter,
    /// The period of one count.
    pub interval: &'static Dimension,
    pub group_by: Vec<&'static Dimension>,
    /// Entries, the earliest first.
    pub limit: i64,
    /// The entry behind which they begin.
    pub after: Option<WalkCursor>,
}

#[derive(Debug)]
pub struct PeriodCounts {
    pub entries: Vec<PeriodCount>,
    /// Set where there is more.
    pub next: Option<WalkCursor>,
}

/// One group of one period, with at least one incident.
#[derive(Debug, Serialize)]
pub struct PeriodCount {
    /// The start of the period, in UTC.
    #[serde(serialize_with = "serialize")]
    pub time: DateTime<Utc>,
    #[serde(flatten)]
    pub group: serde_json::Map<String, serde_json::Value>,
    /// By status; those without incidents are left out.
    pub counts: Option<Box<RawValue>>,
}

impl Handler<GetCounts> for QueryActor {
    type Result = ResponseFuture<Result<PeriodCounts, ActorError>>;

    fn handle(&mut self, message: GetCounts, _: &mut Self::Context) -> Self::Result {
        self.read_many("counts", "query.counts", "", message, statement, answer)
    }
}

fn answer(message: &GetCounts, mut rows: Vec<Row>) -> PeriodCounts {
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| WalkCursor { rank: row.get("rank"), key: row.get("key") });
    let entries = rows.iter().map(|row| PeriodCount {
        time: row.get("time"),
        group: values(row, &message.group_by),
        counts: raw_json(row.get("counts")),
    });
    PeriodCounts { entries: entries.collect(), next }
}

fn statement(message: &GetCounts) -> ComposedStatement<'_> {
    let mut values = vec![SqlValue::Number(message.limit + 1)];
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let after: Vec<String> = message.after.iter().map(|cursor| behind(cursor, "rank", false, &mut values)).collect();
    let (facts, names, key) = (columns(&message.group_by), names(&message.group_by), key(&message.group_by));
    let (conditions, after, time) = (where_all(&clauses), where_all(&after), message.interval.expression);
    let sql = format!(
        "-- query.counts
SELECT g.*
FROM (
    SELECT
        s.time, extract(epoch FROM s.time)::bigint AS rank, {key} AS key{names},
        jsonb_object_agg(s.execution_status, s.n)::text AS counts
    FROM (
        SELECT {time} AS time, t.execution_status, count(*) AS n{facts}
        FROM resource_action_traces AS t{conditions}
        GROUP BY time, t.execution_status{names}
    ) AS s
    GROUP BY s.time{names}
) AS g{after}
ORDER BY rank, key
LIMIT $1"
    );
    ComposedStatement { sql, values }
}
