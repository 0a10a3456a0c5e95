//! Compares the kept totals with the incidents, and mends them beside live traffic.

use super::{Columns, add_deltas, values};
use crate::db::connection::Connection;
use crate::db::locks::Lock;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::db::{CommandError, DatabaseConfig, connect};
use crate::domain::facts::COUNTED;
use crate::domain::totals::{DimensionSet, Values, sum_up};
use std::time::Duration;
use tokio_postgres::Error;

/// By how much one combination is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// Of the counted facts: alert name, severity, action, namespace, cluster.
    pub values: [Option<String>; COUNTED],
    /// Incidents that the totals lack; negative where they have too many.
    pub missing: i64,
}

/// Compares, each set of facts in one snapshot. Empty when every total is exact.
///
/// # Errors
/// When the database cannot be reached.
pub async fn compare(database: &DatabaseConfig) -> Result<Vec<Deviation>, CommandError> {
    let client = connect(database).await?;
    let mut rows = client.query(sql!("compare.sql"), &[]).await?;
    // The smaller sets follow from all combinations.
    rows.extend(client.query(sql!("compare_sets.sql"), &[]).await?);
    let owned = |values: Values<&str>| values.map(|value| value.map(str::to_owned));
    Ok(rows.iter().map(|row| Deviation { values: owned(values(row)), missing: row.get("missing") }).collect())
}

/// A repair reads all incidents.
const LIMIT: Duration = Duration::from_secs(3600);

/// Adds what is missing as deltas, and makes the smaller sets anew from all combinations. Writers go on meanwhile.
///
/// # Errors
/// When the database cannot be reached or changed; then nothing is changed.
pub async fn repair(database: &DatabaseConfig) -> Result<(), CommandError> {
    let mut connection = Connection::alone(database).await?;
    // Nobody folds meanwhile. A lock within the transaction would come after its snapshot.
    connection.lock_for_good(Lock::Totals, LIMIT).await?;
    connection
        .transaction("totals.repair", LIMIT, async |tx| {
            tx.client().batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
            repair_all(tx).await?;
            repair_sets(tx).await
        })
        .await?;
    Ok(())
}

/// What is missing in this transaction's snapshot is missing afterwards too: writers add their own changes.
async fn repair_all(tx: &mut Transaction<'_>) -> Result<(), Error> {
    let rows = tx.client().query(sql!("compare.sql"), &[]).await?;
    let missing: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("missing"))).collect();
    add_deltas(tx, &missing).await
}

async fn repair_sets(tx: &mut Transaction<'_>) -> Result<(), Error> {
    let (client, all) = (tx.client(), DimensionSet::ALL.bits());
    let rows = client.query("-- totals.all\nSELECT * FROM incident_totals WHERE dimensions = $1", &[&all]).await?;
    let kept: Vec<(Values<&str>, i64)> = rows.iter().map(|row| (values(row), row.get("total"))).collect();
    client.execute("-- totals.clear\nDELETE FROM incident_totals WHERE dimensions <> $1", &[&all]).await?;
    let sums = sum_up(&kept, false);
    client.execute(sql!("add_totals.sql"), &Columns::of(&sums).params()).await?;
    Ok(())
}
