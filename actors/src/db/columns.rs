//! Rows turned into columns, as `unnest` takes them.

use bytes::BytesMut;
use std::error::Error;

use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

/// One value of each row: a list where the statement takes a list, and the value alone where it takes one row (`db/template.rs`).
#[derive(Debug)]
pub(crate) struct Column<T>(pub Vec<T>);

/// One column of some rows.
pub(crate) fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Column<T> {
    Column(rows.iter().map(|row| value(row)).collect())
}

impl<T: ToSql> ToSql for Column<T> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (kind.kind(), self.0.first()) {
            (Kind::Array(_), _) => self.0.to_sql(kind, out),
            (_, Some(value)) => value.to_sql(kind, out),
            (_, None) => Ok(IsNull::Yes),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <Vec<T> as ToSql>::accepts(kind) || T::accepts(kind)
    }

    to_sql_checked!();
}
