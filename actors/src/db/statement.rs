//! Statements that are put together: they have only the conditions of the filters that are there.

use super::pool::Connection;
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use bit_vec::BitVec;
use chrono::{DateTime, Utc};
use pgvector::{SparseVector, Vector};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// A statement and its values.
pub(crate) struct Statement<'a> {
    pub sql: String,
    pub values: Vec<Value<'a>>,
}

pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(i64),
    Bucket(i32),
    Time(DateTime<Utc>),
    Key(Vec<u8>),
    Buckets(Vec<i32>),
    Numbers(Vec<i64>),
    Times(Vec<DateTime<Utc>>),
    Vector(&'a Vector),
    Words(&'a SparseVector),
    Patterns(Vec<Uuid>),
    Terms(Vec<&'a str>),
    Bits(&'a BitVec),
}

impl Statement<'_> {
    /// Runs it, prepared.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn query(&self, connection: &mut Connection) -> Result<Vec<Row>, Error> {
        let prepared = connection.prepare(&self.sql).await?;
        connection.client.query(&prepared, &self.params()).await
    }

    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values
            .iter()
            .map(|value| match value {
                Value::Text(text) => text as &(dyn ToSql + Sync),
                Value::Number(number) => number,
                Value::Bucket(bucket) => bucket,
                Value::Time(time) => time,
                Value::Key(key) => key,
                Value::Buckets(buckets) => buckets,
                Value::Numbers(numbers) => numbers,
                Value::Times(times) => times,
                Value::Vector(vector) => *vector,
                Value::Words(words) => *words,
                Value::Patterns(patterns) => patterns,
                Value::Terms(terms) => terms,
                Value::Bits(bits) => *bits,
            })
            .collect()
    }
}

/// What a filter is put to: both have the same columns under the name `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Incidents,
    /// The copy of their facts in the vector store.
    Facts,
}

/// The conditions of a filter; their values are added to `values`.
pub(crate) fn conditions<'a>(filter: &'a IncidentFilter, source: Source, values: &mut Vec<Value<'a>>) -> Vec<String> {
    let mut clauses = Vec::new();
    for (column, text) in filter.columns() {
        values.push(Value::Text(text));
        clauses.push(format!("t.{column} = ${}", values.len()));
    }
    if let Some(request) = filter.remediation_request_id.as_deref() {
        // Through the table of ids, which knows the partition.
        values.push(Value::Bucket(Bucket::of(request).get()));
        values.push(Value::Text(request));
        let (bucket, name) = (values.len() - 1, values.len());
        clauses.push(match source {
            Source::Facts => format!("t.bucket = ${bucket} AND t.correlation_id = ${name}"),
            Source::Incidents => format!(
                "t.bucket = ${bucket} AND (t.id, t.action_timestamp) = (SELECT i.id, i.action_timestamp \
             FROM incident_ids AS i WHERE i.bucket = ${bucket} AND i.correlation_id = ${name})"
            ),
        });
    }
    clauses.extend(times("t", filter, values));
    clauses
}

/// The conditions of a filter's times on a table's `action_timestamp`.
pub(crate) fn times<'a>(table: &str, filter: &'a IncidentFilter, values: &mut Vec<Value<'a>>) -> Vec<String> {
    let bounds = [(filter.since, ">="), (filter.until, "<")];
    let bounds = bounds.into_iter().filter_map(|(time, comparison)| Some((time?, comparison)));
    bounds
        .map(|(time, comparison)| {
            values.push(Value::Time(time));
            format!("{table}.action_timestamp {comparison} ${}", values.len())
        })
        .collect()
}

pub(crate) fn where_all(clauses: &[String]) -> String {
    if clauses.is_empty() { String::new() } else { format!("\nWHERE {}", clauses.join("\n  AND ")) }
}
