use super::attempts::Attempts;
use super::count_incidents::count;
use super::incident::{Incident, columns};
use super::pipeline::Ask;
use super::totals::Totals;
use super::{QueryActor, Reader};
use crate::db::connection::Connection;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, one_of, where_all};
use crate::domain::cursor::{Cursor, Order};
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::{CountedFilter, start_of};
use crate::error::ActorError;
use crate::totals::Minutes;
use crate::waiting::Waiting;
use actix::prelude::*;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::join;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use tokio_postgres::Row;

/// Asks for a page of incidents.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
#[rtype(result = "Result<Arc<IncidentPage>, ActorError>")]
pub struct ListIncidents {
    pub filter: IncidentFilter,
    pub order: Order,
    /// 1–1000.
    pub limit: i64,
    pub start: PageStart,
    /// Whether the exact total of the filter is wanted.
    pub total: bool,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageStart {
    Offset(i64),
    After(Cursor),
}

/// A page; all who asked for it together have the same one.
#[derive(Debug)]
pub struct IncidentPage {
    pub incidents: Vec<Incident>,
    pub total: Option<i64>,
    /// Set where there is more.
    pub next: Option<Cursor>,
    body: OnceLock<Bytes>,
}

impl IncidentPage {
    /// The page as it is sent: written by the first who asks, and shared by the others.
    pub fn body(&self, write: impl FnOnce() -> Vec<u8>) -> Bytes {
        self.body.get_or_init(|| write().into()).clone()
    }
}

impl Handler<ListIncidents> for QueryActor {
    type Result = ResponseFuture<Result<Arc<IncidentPage>, ActorError>>;

    fn handle(&mut self, message: ListIncidents, _: &mut Self::Context) -> Self::Result {
        let kind = Rc::new(message);
        let asked = kind.clone();
        let (reader, totals, attempts) = (self.reader(), self.totals.clone(), self.attempts.clone());
        let read = |waiting: Waiting| {
            waiting.scope(|| async move { list(&reader, &totals, &attempts, asked).await.map(Arc::new) })
        };
        Box::pin(self.pages.ask(kind, Waiting::current(), read))
    }
}

async fn list(
    reader: &Reader,
    totals: &Totals,
    attempts: &Attempts,
    message: Rc<ListIncidents>,
) -> Result<IncidentPage, ActorError> {
    let count = || count(reader, totals, attempts, &message.filter);
    let (page, total) = if !message.total {
        (read_page(reader, totals, &message).await?, None)
    } else if CountedFilter::of(&message.filter).is_some_and(|counted| counted.facts() > 1) {
        // Filters that fit nothing together would have the page look through all that fit one of them.
        let total = count().await?;
        (if total > 0 { read_page(reader, totals, &message).await? } else { Vec::new() }, Some(total))
    } else {
        let (page, total) = join!(read_page(reader, totals, &message), count());
        (page?, Some(total?))
    };
    Ok(page_of(&message, page, total))
}

async fn read_page(reader: &Reader, totals: &Totals, message: &Rc<ListIncidents>) -> Result<Vec<Row>, ActorError> {
    // Pages of this kind take a fraction of a millisecond, and share connections. What may take longer has one to itself.
    let quick = matches!(message.start, PageStart::After(_) | PageStart::Offset(0..=1000));
    let limit = rows_of(message);
    let offset = if let PageStart::Offset(offset) = message.start { offset } else { 0 };
    let mut wanted = limit + offset;
    loop {
        let minutes = totals.minutes(reader, message, wanted).await?;
        let is_cut = minutes.as_ref().is_some_and(|minutes| minutes.is_cut);
        let rows = match read_parts(reader, message, minutes.as_ref(), quick).await? {
            Some(rows) => rows,
            None => {
                let asked = message.clone();
                let placing = if reader.is_distributed { Placing::Distributed } else { Placing::Whole };
                let read = async move |ask: Ask<'_>| ask.run(&page_statement(&asked, minutes.as_ref(), placing)).await;
                reader.read_either("query.list_incidents", quick, read).await?
            }
        };
        // Writers go on: what fitted there may fit no more.
        if !is_cut || i64::try_from(rows.len()).is_ok_and(|rows| rows > message.limit) {
            return Ok(rows);
        }
        wanted *= 4;
    }
}

/// A short page of what the shards have, each read from its node; `None` where that is not to be or cannot be.
async fn read_parts(
    reader: &Reader,
    message: &ListIncidents,
    minutes: Option<&Minutes>,
    quick: bool,
) -> Result<Option<Vec<Row>>, ActorError> {
    let Some(direct) = reader.pools.clone()?.direct.filter(|_| quick) else { return Ok(None) };
    let read = async |connection: &mut Connection| {
        let statement = page_statement(message, minutes, Placing::OneShard);
        let prepared = connection.prepare(&statement.sql).await?;
        connection.client().query(&prepared, &statement.params()).await
    };
    let Some(parts) = direct.read_each("query.list_incidents", reader.limit, read).await? else { return Ok(None) };
    let mut rows: Vec<(DateTime<Utc>, i64, Row)> =
        parts.into_iter().flatten().map(|row| (row.get("action_timestamp"), row.get("id"), row)).collect();
    rows.sort_unstable_by_key(|(time, id, _)| (*time, *id));
    if message.order == Order::Newest {
        rows.reverse();
    }
    let offset = if let PageStart::Offset(offset) = message.start { offset } else { 0 };
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    let page = rows.into_iter().skip(count(offset)).take(count(rows_of(message)));
    Ok(Some(page.map(|(_, _, row)| row).collect()))
}

fn page_of(message: &ListIncidents, mut rows: Vec<Row>, total: Option<i64>) -> IncidentPage {
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let incidents: Vec<Incident> = rows.into_iter().map(Incident::new).collect();
    // Page and total are two statements, and writers go on between them. Where the page is the last one it knows the total.
    let total = match message.start {
        PageStart::Offset(offset) if !more && (offset == 0 || !incidents.is_empty()) => {
            total.map(|_: i64| offset + i64::try_from(incidents.len()).unwrap_or(0))
        }
        _ => total,
    };
    let next = incidents.last().filter(|_| more).map(Incident::cursor);
    IncidentPage { incidents, total, next, body: OnceLock::new() }
}

/// Limits that have a statement of their own: with a number in it PostgreSQL plans for a short page.
const LIMITS: [i64; 9] = [1, 10, 20, 25, 50, 100, 200, 500, 1000];

/// How many rows a page reads. One more than asked for tells whether there is more. A few are thrown away where the limit is an odd one.
fn rows_of(message: &ListIncidents) -> i64 {
    LIMITS.into_iter().find(|limit| *limit >= message.limit).unwrap_or(message.limit) + 1
}

/// Whose rows a page's statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placing {
    Whole,
    Distributed,
    /// Those of one shard, of which as many are wanted as the page goes down to.
    OneShard,
}

/// The statement of a page. `minutes`: where its incidents are.
fn page_statement<'a>(
    message: &'a ListIncidents,
    minutes: Option<&Minutes>,
    placing: Placing,
) -> ComposedStatement<'a> {
    let is_distributed = placing == Placing::Distributed;
    let mut values = Vec::new();
    let mut clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let (direction, beyond) = match message.order {
        Order::Newest => ("DESC", '<'),
        Order::Oldest => ("ASC", '>'),
    };
    if let PageStart::After(cursor) = message.start {
        values.push(SqlValue::Time(cursor.action_timestamp));
        values.push(SqlValue::Number(cursor.id));
        clauses.push(format!("(t.action_timestamp, t.id) {beyond} (${}, ${})", values.len() - 1, values.len()));
    }
    let offset = match message.start {
        PageStart::Offset(offset) if offset > 0 => {
            values.push(SqlValue::Number(offset));
            Some(values.len())
        }
        _ => None,
    };
    let limit = rows_of(message);
    let order = format!("ORDER BY t.action_timestamp {direction}, t.id {direction}");
    let most = offset.map_or(limit.to_string(), |offset| format!("{limit} + ${offset}::bigint"));
    let from = match (minutes.map(|minutes| &minutes.ranges[..]), split_by(&message.filter)) {
        (Some([(from, to)]), _) => {
            values.push(SqlValue::Time(start_of(*from)));
            values.push(SqlValue::Time(start_of(*to)));
            let (from, to) = (values.len() - 1, values.len());
            clauses.push(format!("t.action_timestamp >= ${from} AND t.action_timestamp < ${to}"));
            format!("resource_action_traces AS t{}", where_all(&clauses))
        }
        // A LIMIT for each range, or each value, is no part of a plan over many shards.
        (Some(ranges), _) if is_distributed => {
            let range = |(from, to): &(i32, i32)| {
                values.push(SqlValue::Time(start_of(*from)));
                values.push(SqlValue::Time(start_of(*to)));
                let (from, to) = (values.len() - 1, values.len());
                format!("t.action_timestamp >= ${from} AND t.action_timestamp < ${to}")
            };
            let either: Vec<String> = ranges.iter().map(range).collect();
            clauses.push(if either.is_empty() { "false".to_owned() } else { format!("({})", either.join(" OR ")) });
            format!("resource_action_traces AS t{}", where_all(&clauses))
        }
        (None, _) if is_distributed => format!("resource_action_traces AS t{}", where_all(&clauses)),
        (Some(ranges), _) => {
            values.push(SqlValue::Times(ranges.iter().map(|range| start_of(range.0)).collect()));
            values.push(SqlValue::Times(ranges.iter().map(|range| start_of(range.1)).collect()));
            clauses.push("t.action_timestamp >= r.since AND t.action_timestamp < r.until".to_owned());
            format!(
                "unnest(${}::timestamptz[], ${}::timestamptz[]) AS r (since, until)\nCROSS JOIN LATERAL (SELECT t.*\nFROM \
                 resource_action_traces AS t{}\n{order}\nLIMIT {most}) AS t",
                values.len() - 1,
                values.len(),
                where_all(&clauses)
            )
        }
        (None, None) => format!("resource_action_traces AS t{}", where_all(&clauses)),
        (None, Some((column, texts))) => {
            let parts: Vec<String> = texts
                .iter()
                .map(|text| {
                    let one = format!("t.{column} {}", one_of(std::slice::from_ref(text), &mut values));
                    let clauses: Vec<String> = [one].into_iter().chain(clauses.iter().cloned()).collect();
                    format!(
                        "(SELECT t.*\nFROM resource_action_traces AS t{}\n{order}\nLIMIT {most})",
                        where_all(&clauses)
                    )
                })
                .collect();
            format!("({}) AS t", parts.join("\nUNION ALL\n"))
        }
    };
    let columns = columns(true);
    let most = match (placing, offset) {
        (Placing::Whole | Placing::Distributed, Some(offset)) => format!("{limit} OFFSET ${offset}"),
        _ => most,
    };
    let sql = format!("-- query.list_incidents\nSELECT {columns}\nFROM {from}\n{order}\nLIMIT {most}");
    ComposedStatement { sql, values }
}

/// The fact whose values are looked for one by one, each by the index of this fact, where no single value leads to an index.
fn split_by(filter: &IncidentFilter) -> Option<(&'static str, &[String])> {
    let mut listed = filter.facts().filter(|(fact, _)| fact.listed);
    let is_led = filter.remediation_request_id.is_some() || listed.clone().any(|(_, values)| values.len() == 1);
    listed.find(|_| !is_led).map(|(fact, values)| (fact.column, values))
}
