//! What a flush has changed of incidents, where the tables are distributed: elsewhere its own statement tells and counts (upsert_incidents.sql).

use super::attempts::Due;
use crate::db::transaction::Transaction;
use crate::domain::facts::{COUNTED, counted, identifying};
use crate::domain::totals::{Values, minute_of};
use crate::totals::{Change, note_changes, values};
use tokio_postgres::{Error, Row};

/// The rows of changed incidents.
#[derive(Default)]
pub(super) struct Changed(pub Vec<Row>);

impl Changed {
    /// Of how many incidents a fact that was known has become another, in the order of the identifying facts.
    pub fn conflicts(&self) -> Vec<u64> {
        let of_fact = |column: &str| {
            let place = counted().position(|fact| fact.column == column);
            let is_other = |row: &&Row| {
                let Some(place) = place else { return false };
                let (before, now) = (before(row), values(row));
                before.len() == COUNTED
                    && before[place].is_some()
                    && now[place].is_some()
                    && before[place] != now[place]
            };
            self.0.iter().filter(is_other).count() as u64 // far below 2^64
        };
        identifying().map(|fact| of_fact(fact.column)).collect()
    }

    /// Whose attempts are due.
    pub fn due(&self) -> Due {
        let due = self.0.iter().filter(|row| row.get("is_due"));
        let (buckets, requests) =
            due.map(|row| (row.get::<_, i32>("bucket"), row.get::<_, String>("correlation_id"))).unzip();
        Due { buckets, requests }
    }

    /// Notes what changes for the totals.
    pub async fn note(&self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        let mut changes = Vec::new();
        for row in &self.0 {
            let (minute, now, before) = (minute_of(row.get("action_timestamp")), values(row), before(row));
            if !matches!(before[..], [Some("kept" | "other")]) {
                changes.push(Change { minute, values: now, delta: 1 });
            }
            if before.len() > 1 {
                changes.push(Change { minute, values: counted_as(&before, now), delta: -1 });
            }
        }
        let bucket = self.0.first().map_or(0, |row| row.get("bucket"));
        note_changes(tx, bucket, &changes).await
    }
}

/// What the upsert has kept of the row before: `new`, `kept`, `other`, the status alone, or all counted facts.
fn before(row: &Row) -> Vec<Option<&str>> {
    row.get::<_, Option<Vec<Option<&str>>>>("counted_before").unwrap_or_default()
}

/// As what an incident was counted before.
fn counted_as<'a>(before: &[Option<&'a str>], now: Values<&'a str>) -> Values<&'a str> {
    if before.len() == COUNTED {
        return std::array::from_fn(|place| before[place]);
    }
    let mut values = now;
    for (value, fact) in values.iter_mut().zip(counted()) {
        if fact.column == "execution_status" {
            *value = before.get(1).copied().flatten();
        }
    }
    values
}
