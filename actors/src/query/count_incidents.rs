//! How many incidents fit a filter.

use super::Reader;
use super::attempts::{Attempts, Freshness};
use super::pipeline::Ask;
use super::totals::Totals;
use crate::attempts::AttemptTable;
use crate::db::statement::{ComposedStatement, FactSource, conditions, where_all};
use crate::domain::facts::{Fact, only_filtered};
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::CountedFilter;
use crate::error::ActorError;
use std::future::pending;

/// So many incidents PostgreSQL counts in the time that a look into the attempts takes.
const FEW: i64 = 1_000;

/// The exact total: by the counts, by the attempts in memory where many incidents fit what the counts do not know, or by PostgreSQL.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn count(
    reader: &Reader,
    totals: &Totals,
    attempts: &Attempts,
    filter: &IncidentFilter,
) -> Result<i64, ActorError> {
    if let Some(total) = totals.count(reader, filter).await? {
        return Ok(total);
    }
    if is_uncounted(reader, filter) {
        let of_attempts =
            |freshness| attempts.read(reader, filter, freshness, |attempts, filter| attempts.count(filter));
        if let Some(total) = of_attempts(Freshness::AsHeld).await? {
            return Ok(total);
        }
        if let Some(total) = count_few(reader, filter).await? {
            return Ok(total);
        }
        if let Some(total) = of_attempts(Freshness::CaughtUp).await? {
            return Ok(total);
        }
    }
    let by_postgresql = async {
        let read = async |ask: Ask<'_>| ask.run(&statement(filter)).await;
        let rows = reader.read_either("query.count_incidents", false, read).await?;
        Ok(rows.first().map_or(0, |row| row.get("n")))
    };
    // Of a large store PostgreSQL may take longer than reading the counts, which have begun to be read.
    let by_counts = async {
        while CountedFilter::of(filter).is_some() && totals.are_loading() {
            if let Ok(Some(total)) = totals.count(reader, filter).await {
                return total;
            }
        }
        pending().await
    };
    tokio::select! {
        total = by_counts => Ok(total),
        total = by_postgresql => total,
    }
}

/// What `read` makes of the attempts in memory; `None` where PostgreSQL is to be asked: it is as quick where few incidents fit.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn ask_attempts<T: Send + 'static>(
    reader: &Reader,
    attempts: &Attempts,
    filter: &IncidentFilter,
    read: impl FnOnce(&AttemptTable, &IncidentFilter) -> T + Clone + Send + 'static,
) -> Result<Option<T>, ActorError> {
    if let Some(found) = attempts.read(reader, filter, Freshness::AsHeld, read.clone()).await? {
        return Ok(Some(found));
    }
    if is_uncounted(reader, filter) && count_few(reader, filter).await?.is_some() {
        return Ok(None);
    }
    attempts.read(reader, filter, Freshness::CaughtUp, read).await
}

/// Whether a filter asks for facts that incidents are not counted by, and that have an index. On distributed tables nothing but PostgreSQL
/// can tell their number.
pub(super) fn is_uncounted(reader: &Reader, filter: &IncidentFilter) -> bool {
    !reader.is_distributed && filter.facts().any(|(fact, _)| is_only_filtered(fact))
}

fn is_only_filtered(fact: &Fact) -> bool {
    only_filtered().any(|known| known.column == fact.column)
}

/// How many fit, where at most [`FEW`] have the facts that incidents are not counted by.
async fn count_few(reader: &Reader, filter: &IncidentFilter) -> Result<Option<i64>, ActorError> {
    let (narrow, others) = filter.split(is_only_filtered);
    let statement = few_statement(&narrow, &others);
    let read = async |ask: Ask<'_>| ask.run(&statement).await;
    let rows = reader.read_either("query.count_few", true, read).await?;
    let found = rows.first().map(|row| (row.get::<_, i64>("looked"), row.get::<_, i64>("n")));
    Ok(found.filter(|(looked, _)| *looked <= FEW).map(|(_, fitting)| fitting))
}

fn statement(filter: &IncidentFilter) -> ComposedStatement<'_> {
    let mut values = Vec::new();
    let clauses = where_all(&conditions(filter, FactSource::OfIncidents, &mut values));
    let sql = format!("-- query.count_incidents\nSELECT count(*) AS n\nFROM resource_action_traces AS t{clauses}");
    ComposedStatement { sql, values }
}

fn few_statement<'a>(narrow: &'a IncidentFilter, others: &'a IncidentFilter) -> ComposedStatement<'a> {
    let mut values = Vec::new();
    let narrow = where_all(&conditions(narrow, FactSource::OfIncidents, &mut values));
    let others = conditions(others, FactSource::OfIncidents, &mut values);
    let fits = if others.is_empty() { "true".to_owned() } else { others.join(" AND ") };
    let most = FEW + 1;
    let sql = format!(
        "-- query.count_few
SELECT count(*) AS looked, count(*) FILTER (WHERE {fits}) AS n
FROM (SELECT t.* FROM resource_action_traces AS t{narrow} LIMIT {most}) AS t"
    );
    ComposedStatement { sql, values }
}
