//! Refuses a database whose tables Citus distributes: lists, totals, searches and retention fail there.

use super::{MigrateError, Migrations, Schema};
use tokio_postgres::Client;

/// Looks whether Citus lists a table of the schema. A database without the extension has no such list.
///
/// # Errors
/// [`MigrateError::Distributed`] when a table is distributed; PostgreSQL's.
pub async fn refuse_distributed(client: &Client, schema: Schema) -> Result<(), MigrateError> {
    let exists = "-- migrate.find_citus\nSELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL";
    if !client.query_one(exists, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    let distributed = "-- migrate.find_distributed
        SELECT c.relname::text
        FROM pg_catalog.pg_dist_partition AS d
        JOIN pg_class AS c ON c.oid = d.logicalrelid
        WHERE c.relname = ANY ($1::text[]) AND pg_table_is_visible(c.oid)
        ORDER BY c.relname
        LIMIT 1";
    match client.query_opt(distributed, &[&Migrations::of(schema).tables()]).await? {
        Some(row) => Err(MigrateError::Distributed(row.get(0))),
        None => Ok(()),
    }
}
