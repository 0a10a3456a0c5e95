//! Statements that are put together: they have only the conditions of the filters that are there.

use super::connection::Connection;
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use bit_vec::BitVec;
use chrono::{DateTime, Utc};
use pgvector::{SparseVector, Vector};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// A statement and its values.
pub(crate) struct ComposedStatement<'a> {
    pub sql: String,
    pub values: Vec<SqlValue<'a>>,
}

pub(crate) enum SqlValue<'a> {
    Text(&'a str),
    Texts(&'a [String]),
    Number(i64),
    Bucket(i32),
    Time(DateTime<Utc>),
    Key(Vec<Option<String>>),
    Buckets(Vec<i32>),
    Numbers(Vec<i64>),
    Times(Vec<DateTime<Utc>>),
    Vector(&'a Vector),
    Words(&'a SparseVector),
    Patterns(Vec<Uuid>),
    Terms(Vec<&'a str>),
    Bits(&'a BitVec),
}

impl ComposedStatement<'_> {
    /// Runs it, prepared.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn query(&self, connection: &mut Connection) -> Result<Vec<Row>, Error> {
        let prepared = connection.prepare(&self.sql).await?;
        connection.client().query(&prepared, &self.params()).await
    }

    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values
            .iter()
            .map(|value| match value {
                SqlValue::Text(text) => text as &(dyn ToSql + Sync),
                SqlValue::Texts(texts) => texts,
                SqlValue::Number(number) => number,
                SqlValue::Bucket(bucket) => bucket,
                SqlValue::Time(time) => time,
                SqlValue::Key(key) => key,
                SqlValue::Buckets(buckets) => buckets,
                SqlValue::Numbers(numbers) => numbers,
                SqlValue::Times(times) => times,
                SqlValue::Vector(vector) => *vector,
                SqlValue::Words(words) => *words,
                SqlValue::Patterns(patterns) => patterns,
                SqlValue::Terms(terms) => terms,
                SqlValue::Bits(bits) => *bits,
            })
            .collect()
    }
}

/// The facts that a filter is put to: both have the same columns under the name `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FactSource {
    OfIncidents,
    /// Their copies in the vector store.
    Copied,
}

/// The conditions of a filter; their values are added to `values`.
pub(crate) fn conditions<'a>(
    filter: &'a IncidentFilter,
    facts: FactSource,
    values: &mut Vec<SqlValue<'a>>,
) -> Vec<String> {
    let mut clauses = Vec::new();
    for (fact, texts) in filter.facts() {
        let fits = format!("t.{} {}", fact.column, one_of(texts, values));
        // The copies from before this fact was a filter lack it: what fits is known when the incidents are read.
        let is_copied_later = facts == FactSource::Copied && !fact.faceted;
        clauses.push(if is_copied_later { format!("({fits} OR NOT t.is_complete)") } else { fits });
    }
    if let Some(request) = filter.remediation_request_id.as_deref() {
        // Through the table of ids, which knows the partition.
        values.push(SqlValue::Bucket(Bucket::of(request).get()));
        values.push(SqlValue::Text(request));
        let (bucket, name) = (values.len() - 1, values.len());
        clauses.push(match facts {
            FactSource::Copied => format!("t.bucket = ${bucket} AND t.correlation_id = ${name}"),
            FactSource::OfIncidents => format!(
                "t.bucket = ${bucket} AND (t.id, t.action_timestamp) = (SELECT i.id, i.action_timestamp \
             FROM incident_ids AS i WHERE i.bucket = ${bucket} AND i.correlation_id = ${name})"
            ),
        });
    }
    clauses.extend(times("t", filter, values));
    clauses
}

/// `= $n`, or the same for several values.
pub(crate) fn one_of<'a>(texts: &'a [String], values: &mut Vec<SqlValue<'a>>) -> String {
    match texts {
        [text] => {
            values.push(SqlValue::Text(text));
            format!("= ${}", values.len())
        }
        texts => {
            values.push(SqlValue::Texts(texts));
            format!("= ANY (${})", values.len())
        }
    }
}

/// The conditions of a filter's times on a table's `action_timestamp`.
pub(crate) fn times<'a>(table: &str, filter: &'a IncidentFilter, values: &mut Vec<SqlValue<'a>>) -> Vec<String> {
    let bounds = [(filter.since, ">="), (filter.until, "<")];
    let bounds = bounds.into_iter().filter_map(|(time, comparison)| Some((time?, comparison)));
    bounds
        .map(|(time, comparison)| {
            values.push(SqlValue::Time(time.at));
            format!("{table}.action_timestamp {comparison} ${}", values.len())
        })
        .collect()
}

pub(crate) fn where_all(clauses: &[String]) -> String {
    if clauses.is_empty() { String::new() } else { format!("\nWHERE {}", clauses.join("\n  AND ")) }
}
