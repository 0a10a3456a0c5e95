//! Compares the kept totals with the incidents, and mends them beside live traffic.

use crate::db::DatabaseConfig;
use crate::domain::totals::{DimensionSet, Total, Values, sum_up};
use crate::migrate::{MigrateError, connect};
use crate::pg_writer::fold_totals::{Columns, LOCK, values};
use tokio_postgres::{Client, Error};

/// By how much one combination is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// Alert name, severity, action, namespace, cluster.
    pub values: [Option<String>; 5],
    /// Incidents that the totals lack; negative where they have too many.
    pub missing: i64,
}

/// Compares, each set of dimensions in one snapshot. Empty when every total is exact.
///
/// # Errors
/// When the database cannot be reached.
pub async fn compare(database: &DatabaseConfig) -> Result<Vec<Deviation>, MigrateError> {
    let client = connect(database).await?;
    let mut rows = client.query(include_str!("totals_compare.sql"), &[]).await?;
    // The smaller sets follow from all combinations.
    rows.extend(client.query(include_str!("totals_compare_sets.sql"), &[]).await?);
    let owned = |values: Values<&str>| values.map(|value| value.map(str::to_owned));
    Ok(rows.iter().map(|row| Deviation { values: owned(values(row)), missing: row.get("missing") }).collect())
}

/// Adds what is missing as deltas, and makes the smaller sets anew from all combinations. Writers go on meanwhile.
///
/// # Errors
/// When the database cannot be reached or changed; then nothing is changed.
pub async fn repair(database: &DatabaseConfig) -> Result<(), MigrateError> {
    let client = connect(database).await?;
    // Nobody folds meanwhile. The lock goes with the connection.
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    repair_all(&client).await?;
    repair_sets(&client).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// What is missing in this transaction's snapshot is missing afterwards too: writers add their own changes.
async fn repair_all(client: &Client) -> Result<(), Error> {
    let rows = client.query(include_str!("totals_compare.sql"), &[]).await?;
    let missing: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("missing"))).collect();
    let sums = sum_up(&missing, true);
    let sums: Vec<Total<'_>> = sums.into_iter().filter(|total| total.set == DimensionSet::ALL).collect();
    let columns = Columns::of(&sums);
    client.execute(include_str!("totals_add_deltas.sql"), &columns.delta_params()).await?;
    Ok(())
}

async fn repair_sets(client: &Client) -> Result<(), Error> {
    let rows = client.query("-- totals.all\nSELECT * FROM incident_totals WHERE dimensions = 31", &[]).await?;
    let all: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("total"))).collect();
    client.execute("-- totals.clear\nDELETE FROM incident_totals WHERE dimensions <> 31", &[]).await?;
    let sums = sum_up(&all, false);
    client.execute(include_str!("pg_writer/add_totals.sql"), &Columns::of(&sums).params()).await?;
    Ok(())
}
