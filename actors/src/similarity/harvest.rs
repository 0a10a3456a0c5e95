//! The incidents of near patterns.

use super::plan::{LIMIT, Reach};
use super::rank::{NearPattern, Wanted};
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, times};
use crate::db::transaction::Transaction;
use crate::domain::filter::IncidentFilter;
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// An incident that has a near pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub id: i64,
    pub action_timestamp: DateTime<Utc>,
    /// Its best pattern, by its place.
    pub pattern: usize,
    /// Of the nearest of its patterns.
    pub similarity: f64,
    /// Whether it happened in the namespace and cluster that are asked about.
    pub is_local: bool,
}

/// Patterns whose incidents are asked for at once: at first, at least and at most, and then.
const FIRST_AT_LEAST: usize = 2;
const FIRST_AT_MOST: usize = 128;
const MOST_AT_ONCE: usize = 128;
/// Rows that are asked for at once, and incidents that are kept of all: a search has a bound on its memory.
const MOST_ROWS: i64 = 40_000;
const MOST_CANDIDATES: usize = 100_000;

/// Patterns of which those that happened in one place are looked for: the best ones.
const MOST_LOCAL: usize = 16;

/// The incidents of the best patterns that fit and happened in the place that is asked about: newer ones of the same patterns may have
/// happened anywhere.
pub(super) async fn harvest_local(
    connection: &mut Connection,
    wanted: &Wanted<'_>,
    patterns: &[NearPattern],
    reach: Reach,
) -> Result<Vec<Candidate>, DatabaseError> {
    let Some(local) = &wanted.local else { return Ok(Vec::new()) };
    let best = &patterns[..patterns.len().min(MOST_LOCAL)];
    let (mut found, _) = harvest(connection, wanted, local, best, reach).await?;
    found.iter_mut().for_each(|candidate| candidate.is_local = true);
    Ok(found)
}

/// The incidents of the patterns that fit, and whether these are all.
pub(super) async fn harvest(
    connection: &mut Connection,
    wanted: &Wanted<'_>,
    filter: &IncidentFilter,
    patterns: &[NearPattern],
    reach: Reach,
) -> Result<(Vec<Candidate>, bool), DatabaseError> {
    let (mut found, mut seen, mut all) = (Vec::<Candidate>::new(), HashMap::<i64, usize>::new(), true);
    // A pattern may have many incidents or few that fit: at first as many are asked for as hold half of what is wanted, if all are
    // alike in that; then what came tells.
    let enough = reach.enough.unwrap_or(usize::MAX).min(MOST_CANDIDATES);
    let most_at_once = usize::try_from(MOST_ROWS / reach.incidents.max(1)).unwrap_or(0).clamp(1, MOST_AT_ONCE);
    let half = i64::try_from(enough).unwrap_or(i64::MAX).saturating_mul(wanted.counts.patterns)
        / (2 * wanted.counts.searched).max(1);
    let half = usize::try_from(half).unwrap_or(usize::MAX).clamp(FIRST_AT_LEAST, FIRST_AT_MOST);
    let (mut begin, mut at_once) = (0, half.min(most_at_once));
    while begin < patterns.len() {
        if found.len() >= enough {
            return Ok((found, false));
        }
        let part = &patterns[begin..patterns.len().min(begin + at_once)];
        let statement = incidents_of(wanted, filter, part, reach, connection.is_distributed());
        let list = async |tx: &mut Transaction<'_>| statement.query(tx).await;
        let rows = connection.autocommit("similarity.list_incidents", LIMIT, list).await?;
        let mut counts = vec![0i64; part.len()];
        for row in &rows {
            // From 1, as `unnest` counts.
            let place = usize::try_from(row.get::<_, i64>("place") - 1).unwrap_or(0);
            // Between two patterns, however many were asked for at once: what is found depends on the store alone.
            if counts[place] == 0 && found.len() >= enough {
                return Ok((found, false));
            }
            counts[place] += 1;
            let id: i64 = row.get("incident_id");
            let similarity = part[place].similarity;
            match seen.get(&id) {
                Some(at) => found[*at].similarity = found[*at].similarity.max(similarity),
                None => {
                    seen.insert(id, found.len());
                    let action_timestamp = row.get("action_timestamp");
                    found.push(Candidate { id, action_timestamp, pattern: begin + place, similarity, is_local: false });
                }
            }
        }
        all &= counts.iter().all(|count| *count < reach.incidents);
        begin += part.len();
        // A quarter more than what is missing seems to need.
        let missing = enough.saturating_sub(found.len()).saturating_mul(begin) / found.len().max(1);
        at_once = missing.saturating_add(missing / 4).min(at_once * 4).clamp(1, most_at_once);
    }
    Ok((found, all))
}

fn incidents_of<'a>(
    wanted: &'a Wanted<'_>,
    filter: &'a IncidentFilter,
    patterns: &[NearPattern],
    reach: Reach,
    is_distributed: bool,
) -> ComposedStatement<'a> {
    let ids = patterns.iter().map(|pattern| pattern.id).collect();
    let mut values =
        vec![SqlValue::Text(wanted.vector.embedder), SqlValue::Patterns(ids), SqlValue::Number(reach.incidents)];
    let clauses = conditions(filter, FactSource::Copied, &mut values);
    let mut bounds = times("i", filter, &mut values);
    bounds.extend(wanted.scope.received(&mut values));
    let bounds: String = bounds.iter().map(|bound| format!(" AND {bound}")).collect();
    // Looked up by their key, whatever indexes there are for the conditions: few of a pattern's incidents are looked at.
    let facts = match clauses.is_empty() {
        true => String::new(),
        false => format!(
            "\n        AND (\n            SELECT {}\n            FROM incident_facts AS t\n            \
             WHERE t.bucket = i.bucket AND t.incident_id = i.incident_id)",
            clauses.join(" AND ")
        ),
    };
    // A LIMIT for each pattern is no part of a plan over many shards: there the incidents are numbered, first in each bucket.
    let (numbered, of_bucket) = (
        "row_number() OVER (PARTITION BY s.place ORDER BY s.action_timestamp DESC, s.incident_id DESC)",
        "row_number() OVER (PARTITION BY i.bucket, u.place ORDER BY i.action_timestamp DESC, i.incident_id DESC)",
    );
    let joined = match clauses.is_empty() {
        true => String::new(),
        false => {
            "\n            JOIN incident_facts AS t ON t.bucket = i.bucket AND t.incident_id = i.incident_id".to_owned()
        }
    };
    let all: String = clauses.iter().map(|clause| format!(" AND {clause}")).collect();
    if is_distributed {
        let sql = format!(
            "-- similarity.list_incidents\nSELECT n.place, n.incident_id, n.action_timestamp\nFROM (\n    \
             SELECT s.*, {numbered} AS of_pattern\n    FROM (\n        \
             SELECT u.place, i.incident_id, i.action_timestamp, {of_bucket} AS of_bucket\n        \
             FROM unnest($2::uuid[]) WITH ORDINALITY AS u (pattern, place)\n        \
             JOIN incident_patterns AS i ON i.pattern = u.pattern{joined}\n        \
             WHERE i.embedder = $1{bounds}{all}\n    ) AS s\n    WHERE s.of_bucket <= $3\n) AS n\n\
             WHERE n.of_pattern <= $3\nORDER BY n.place, n.action_timestamp DESC, n.incident_id DESC"
        );
        return ComposedStatement { sql, values };
    }
    let sql = format!(
        "-- similarity.list_incidents\nSELECT u.place, n.incident_id, n.action_timestamp\n\
         FROM unnest($2::uuid[]) WITH ORDINALITY AS u (pattern, place)\nCROSS JOIN LATERAL (\n    \
         SELECT i.incident_id, i.action_timestamp\n    FROM incident_patterns AS i\n    \
         WHERE i.embedder = $1 AND i.pattern = u.pattern{bounds}{facts}\n    \
         ORDER BY i.action_timestamp DESC, i.incident_id DESC\n    LIMIT $3\n) AS n\n\
         ORDER BY u.place, n.action_timestamp DESC, n.incident_id DESC"
    );
    ComposedStatement { sql, values }
}
