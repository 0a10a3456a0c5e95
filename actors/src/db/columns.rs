//! Rows turned into columns, as `unnest` takes them.

/// One column of some rows.
pub(crate) fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}
