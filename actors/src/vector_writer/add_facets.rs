//! Keeps up which facts the incidents of each pattern have, so that a search passes over patterns of which no incident fits.

use super::count_changes::count_changes;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::domain::facets::Facets;
use crate::domain::facts::copied;
use bit_vec::BitVec;
use std::collections::BTreeMap;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// Adds the facets of incidents whose facts this transaction has written, as they are now: an earlier transaction that wrote one of them
/// has committed, and a later one sees what this one writes.
pub(super) async fn add_facets(tx: &mut Transaction<'_>, buckets: &[i32], incidents: &[i64]) -> Result<(), Error> {
    let read = tx.prepare(sql!("read_pattern_facts.sql")).await?;
    let add = tx.prepare(include_str!("add_facets.sql")).await?;
    let rows = tx.client().query(&read, &[&buckets, &incidents]).await?;
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
    let changed = tx.client().query(&add, &[&buckets, &embedders, &patterns, &bits]).await?;
    count_changes(tx, &changed).await
}

fn of(row: &Row) -> Facets {
    Facets::of(copied().filter_map(|fact| Some((fact, row.get::<_, Option<&str>>(fact.column)?))))
}
