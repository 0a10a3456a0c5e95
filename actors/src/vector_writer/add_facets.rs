//! Keeps up which facts the incidents of each pattern have, so that a search passes over patterns of which no incident fits.

use super::count_changes::count_changes;
use crate::db::pool::Connection;
use crate::domain::bucket::Bucket;
use crate::domain::facets::Facets;
use bit_vec::BitVec;
use std::collections::BTreeMap;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

const COLUMNS: [&str; 6] =
    ["alert_name", "alert_severity", "action_type", "namespace", "cluster_name", "execution_status"];

/// Adds the facets of incidents whose facts this transaction has written, as they are now: whoever has written one of them before has
/// committed, and whoever comes after sees what this one writes.
pub(super) async fn add_facets(connection: &mut Connection, buckets: &[i32], incidents: &[i64]) -> Result<(), Error> {
    let read = connection.prepare(include_str!("read_pattern_facts.sql")).await?;
    let add = connection.prepare(include_str!("add_facets.sql")).await?;
    let rows = connection.client.query(&read, &[&buckets, &incidents]).await?;
    let mut facets: BTreeMap<(i32, &str, Uuid), Facets> = BTreeMap::new();
    for row in &rows {
        let pattern: Uuid = row.get("pattern");
        let key = (Bucket::of_pattern(pattern).get(), row.get("embedder"), pattern);
        facets.entry(key).or_default().add(&of(row));
    }
    let buckets: Vec<i32> = facets.keys().map(|key| key.0).collect();
    let embedders: Vec<&str> = facets.keys().map(|key| key.1).collect();
    let patterns: Vec<Uuid> = facets.keys().map(|key| key.2).collect();
    let bits: Vec<&BitVec> = facets.values().map(Facets::bits).collect();
    let changed = connection.client.query(&add, &[&buckets, &embedders, &patterns, &bits]).await?;
    count_changes(connection, &changed).await
}

fn of(row: &Row) -> Facets {
    Facets::of(COLUMNS.iter().filter_map(|column| Some((*column, row.get::<_, Option<&str>>(*column)?))))
}
