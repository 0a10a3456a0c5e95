//! Groups of incidents: their values, and the order in which they are walked through.

use crate::db::statement::SqlValue;
use crate::domain::dimension::{Dimension, DimensionKind};
use crate::domain::time::format_rfc3339;
use crate::domain::walk::WalkCursor;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Row;

/// All incidents of the filter are read: the switches of the connection are for a few rows.
pub(super) const READ_MANY: &str = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; \
                                    SET LOCAL max_parallel_workers_per_gather TO DEFAULT; \
                                    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '32MB'";

/// The dimensions as columns `d1`, `d2` … of a list, each behind a comma.
pub(super) fn columns(dimensions: &[&Dimension]) -> String {
    let column = |(at, dimension): (usize, &&Dimension)| format!(", {} AS d{}", dimension.expression, at + 1);
    dimensions.iter().enumerate().map(column).collect()
}

/// The names of these columns, each behind a comma.
pub(super) fn names(dimensions: &[&Dimension]) -> String {
    (1..=dimensions.len()).map(|at| format!(", d{at}")).collect()
}

/// The texts by which groups of equal rank are ordered, as one expression. A time is its seconds.
pub(super) fn key(dimensions: &[&Dimension]) -> String {
    let text = |(at, dimension): (usize, &&Dimension)| match dimension.kind {
        DimensionKind::Text => format!("d{}", at + 1),
        DimensionKind::Time => format!("extract(epoch FROM d{})::bigint::text", at + 1),
    };
    let texts: Vec<String> = dimensions.iter().enumerate().map(text).collect();
    format!("ARRAY[{}]::text[] COLLATE \"C\"", texts.join(", "))
}

/// The condition on what comes behind a group, for groups in the order of `rank`, which falls or rises, and `key`, which rises.
pub(super) fn behind(cursor: &WalkCursor, rank: &str, falls: bool, values: &mut Vec<SqlValue<'_>>) -> String {
    values.push(SqlValue::Number(cursor.rank));
    values.push(SqlValue::Key(cursor.key.clone()));
    let (at, key) = (values.len() - 1, values.len());
    let beyond = if falls { '<' } else { '>' };
    format!("({rank} {beyond} ${at} OR ({rank} = ${at} AND key > ${key}::text[] COLLATE \"C\"))")
}

/// The values of a row's dimensions, under their names.
pub(super) fn values(row: &Row, dimensions: &[&Dimension]) -> Map<String, Value> {
    let value = |(at, dimension): (usize, &&Dimension)| {
        let column = format!("d{}", at + 1);
        let value = match dimension.kind {
            DimensionKind::Text => row.get::<_, Option<String>>(column.as_str()).into(),
            DimensionKind::Time => format_rfc3339(row.get::<_, DateTime<Utc>>(column.as_str())).into(),
        };
        (dimension.name.to_owned(), value)
    };
    dimensions.iter().enumerate().map(value).collect()
}
