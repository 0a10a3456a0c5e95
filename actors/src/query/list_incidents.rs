use super::QueryActor;
use super::incident::{Incident, columns};
use super::pipeline::Ask;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, one_of, where_all};
use crate::domain::cursor::{Cursor, Order};
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::{CountedFilter, DimensionSet};
use crate::error::ActorError;
use crate::waiting::Waiting;
use actix::prelude::*;
use bytes::Bytes;
use futures_util::join;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use tokio_postgres::Error;

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
        let name = "query.list_incidents";
        // Pages of this kind take a fraction of a millisecond, and share connections. What may take longer has one to itself.
        let quick = matches!(message.start, PageStart::After(_) | PageStart::Offset(0..=1000))
            && (!message.total || is_quick_total(&message.filter));
        let kind = Rc::new(message);
        let asked = kind.clone();
        let read = async move |ask: Ask<'_>| list(ask, &asked).await.map(Arc::new);
        let read = |waiting: Waiting| waiting.scope(|| self.read_either(name, quick, read));
        Box::pin(self.counted("list_incidents", self.pages.ask(kind, Waiting::current(), read)))
    }
}

async fn list(ask: Ask<'_>, message: &ListIncidents) -> Result<IncidentPage, Error> {
    let page = page_statement(message);
    let page_params = page.params();
    let (mut rows, total) = if message.total {
        let total = total_statement(&message.filter);
        let total_params = total.params();
        let (page_prepared, total_prepared) = (ask.prepare(&page.sql).await?, ask.prepare(&total.sql).await?);
        let client = ask.client();
        if is_several(&message.filter) {
            // Filters that fit nothing together would have the page look through all that fit one of them.
            let total: i64 = client.query_one(&total_prepared, &total_params).await?.get(0);
            let rows = if total > 0 { client.query(&page_prepared, &page_params).await? } else { Vec::new() };
            (rows, Some(total))
        } else {
            let (rows, total) =
                join!(client.query(&page_prepared, &page_params), client.query_one(&total_prepared, &total_params));
            (rows?, Some(total?.get(0)))
        }
    } else {
        let prepared = ask.prepare(&page.sql).await?;
        (ask.client().query(&prepared, &page_params).await?, None)
    };
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
    Ok(IncidentPage { incidents, total, next, body: OnceLock::new() })
}

/// Whether a total is one or two rows away.
fn is_quick_total(filter: &IncidentFilter) -> bool {
    CountedFilter::of(filter).is_some_and(|counted| counted.set().is_ready())
}

/// Whether two or more counted dimensions are asked for, and nothing else.
fn is_several(filter: &IncidentFilter) -> bool {
    CountedFilter::of(filter).is_some_and(|counted| counted.facts() > 1)
}

/// Limits that have a statement of their own: with a number in it PostgreSQL plans for a short page.
const LIMITS: [i64; 9] = [1, 10, 20, 25, 50, 100, 200, 500, 1000];

/// The statement of an exact total. Where only counted dimensions are asked for it is read from the totals, and from the deltas
/// that are not folded into them yet: in one statement, so in one snapshot.
fn total_statement(filter: &IncidentFilter) -> ComposedStatement<'_> {
    let mut values = Vec::new();
    let clauses = conditions(filter, FactSource::OfIncidents, &mut values);
    let sql = if let Some(wanted) = CountedFilter::of(filter) {
        let kept = if wanted.set().is_ready() {
            let (buckets, keys) = wanted.keys().into_iter().map(|(bucket, key)| (bucket.get(), key.to_vec())).unzip();
            values.push(SqlValue::Buckets(buckets));
            values.push(SqlValue::Keys(keys));
            let (buckets, keys) = (values.len() - 1, values.len());
            format!(
                "SELECT sum(t.total) FROM unnest(${buckets}::int[], ${keys}::bytea[]) AS u (bucket, key) \
                 JOIN incident_totals AS t ON t.bucket = u.bucket AND t.key = u.key"
            )
        } else {
            let and: String = clauses.iter().map(|clause| format!(" AND {clause}")).collect();
            let all = DimensionSet::ALL.bits();
            format!("SELECT sum(t.total) FROM incident_totals AS t WHERE t.dimensions = {all}{and}")
        };
        let pending = format!("SELECT sum(t.delta) FROM incident_deltas AS t{}", where_all(&clauses));
        format!("-- query.total_incidents\nSELECT (COALESCE(({kept}), 0) + COALESCE(({pending}), 0))::bigint")
    } else {
        format!("-- query.count_incidents\nSELECT count(*)\nFROM resource_action_traces AS t{}", where_all(&clauses))
    };
    ComposedStatement { sql, values }
}

/// The statement of a page.
fn page_statement(message: &ListIncidents) -> ComposedStatement<'_> {
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
    // One more than asked for tells whether there is more. A few are thrown away where the limit is an odd one.
    let limit = LIMITS.into_iter().find(|limit| *limit >= message.limit).unwrap_or(message.limit) + 1;
    let order = format!("ORDER BY t.action_timestamp {direction}, t.id {direction}");
    let from = match split_by(&message.filter) {
        None => format!("resource_action_traces AS t{}", where_all(&clauses)),
        Some((column, texts)) => {
            let most = offset.map_or(limit.to_string(), |offset| format!("{limit} + ${offset}::bigint"));
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
    let offset = offset.map_or_else(String::new, |offset| format!(" OFFSET ${offset}"));
    let sql = format!("-- query.list_incidents\nSELECT {columns}\nFROM {from}\n{order}\nLIMIT {limit}{offset}");
    ComposedStatement { sql, values }
}

/// The fact whose values are looked for one by one, each by the index of this fact, where no single value leads to an index.
fn split_by(filter: &IncidentFilter) -> Option<(&'static str, &[String])> {
    let is_led = filter.remediation_request_id.is_some() || filter.facts().any(|(_, values)| values.len() == 1);
    filter.facts().find(|_| !is_led).map(|(fact, values)| (fact.column, values))
}
