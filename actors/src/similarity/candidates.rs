//! Incidents that may be alike: the patterns nearest to a vector, and who has them.

use super::features::{KnownFeatures, PatternFeatures};
use super::held_patterns::{Asked, HeldPatterns, Reads};
use super::score::{Frequencies, Query, score};
use crate::db::pool::Connection;
use crate::db::statement::{Source, Statement, Value, conditions, times, where_all};
use crate::domain::bucket::Bucket;
use crate::domain::facets::Facets;
use crate::domain::filter::IncidentFilter;
use crate::embedder::Embedding;
use chrono::{DateTime, Utc};
use pgvector::{SparseVector, Vector};
use std::collections::{HashMap, HashSet};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// What is looked for in the vector store.
pub(super) struct Wanted<'a> {
    pub embedder: &'a str,
    pub embedding: &'a Embedding,
    pub vector: &'a Vector,
    /// On the copied facts, and what a pattern must have of which an incident fits.
    pub filter: &'a IncidentFilter,
    pub facets: &'a Facets,
    /// Only what had been received by then.
    pub as_of: Option<DateTime<Utc>>,
    pub min_similarity: f64,
    /// Patterns and incidents that there are.
    pub patterns: i64,
    pub incidents: i64,
    /// What was read of patterns before.
    pub known: &'a KnownFeatures,
    /// Patterns that are in memory.
    pub held: Option<&'a HeldPatterns>,
    /// The vector without its zeros, where patterns are kept so too.
    pub words: Option<&'a SparseVector>,
}

/// How far to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub patterns: i64,
    /// Of each pattern, the newest.
    pub incidents: i64,
    /// Incidents after which it is enough; `None`: all patterns are gone through.
    pub enough: Option<usize>,
}

/// How patterns are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Those of the few incidents that fit the filter.
    OfMatching,
    /// All of them.
    Scan,
    /// Those that the index comes upon, and those that share a rare word.
    Index,
}

/// Incidents that fit one part of a filter, up to which their patterns are compared and no others; fewer where patterns without any that fits can be
/// passed over. Then it is the number at which looking at those that fit costs as much as going through the nearest patterns until enough
/// of them do, which is the less the more fit.
const FEW: i64 = 10_000;
const FEW_SPARSE: i64 = 1_000;
/// Patterns up to which all are compared: a comparison takes a tenth of the time where vectors have few words.
const SCANNED: i64 = 4_000;
pub(super) const SCANNED_SPARSE: i64 = 200_000;
/// How many patterns the index looks at.
const EF_SEARCH: i64 = 1_000;
/// A word that more patterns have is not rare, and how many patterns with rare words come along.
const RARE: i64 = 50;
const WITH_RARE_WORDS: i64 = 100;

/// A pattern that is near.
pub(super) struct Pattern {
    pub id: Uuid,
    pub similarity: f64,
    /// The text's part of the score.
    pub score: f64,
}

/// An incident that has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub id: i64,
    pub action_timestamp: DateTime<Utc>,
    /// Its best pattern, by its place.
    pub pattern: usize,
    /// Of the nearest of its patterns.
    pub similarity: f64,
}

pub(super) struct Candidates {
    /// Best first, by the text's part of the score.
    pub patterns: Vec<Pattern>,
    /// In the order of their patterns, newest first within one.
    pub incidents: Vec<Candidate>,
    /// Whether there are no others.
    pub complete: bool,
    pub query: Query,
}

impl Wanted<'_> {
    pub async fn plan(&self, connection: &mut Connection) -> Result<Plan, Error> {
        let few = if self.words.is_some() { (5 * self.incidents.isqrt()).clamp(FEW_SPARSE, FEW) } else { FEW };
        let parts = self.filter.indexed();
        let mut values = Vec::new();
        let counts: Vec<String> = parts
            .iter()
            .map(|part| {
                let clauses = conditions(part, Source::Facts, &mut values);
                format!(
                    "(SELECT count(*) FROM (SELECT FROM incident_facts AS t{} LIMIT {}) AS m)",
                    where_all(&clauses),
                    few + 1
                )
            })
            .collect();
        if !counts.is_empty() {
            let sql = format!("-- similarity.count_matching\nSELECT LEAST({}) AS fewest", counts.join(", "));
            let rows = Statement { sql, values }.query(connection).await?;
            if rows.first().is_some_and(|row| row.get::<_, i64>("fewest") <= few) {
                return Ok(Plan::OfMatching);
            }
        }
        let scanned = if self.words.is_some() { SCANNED_SPARSE } else { SCANNED };
        Ok(if self.patterns <= scanned { Plan::Scan } else { Plan::Index })
    }

    pub fn is_unfiltered(&self) -> bool {
        *self.filter == IncidentFilter::default()
    }

    pub async fn look(&self, connection: &mut Connection, plan: Plan, reach: Reach) -> Result<Candidates, Error> {
        let frequencies = self.frequencies(connection).await?;
        let mut near = match self.held_nearest(connection, plan, reach).await? {
            Some(near) => near,
            None => self.nearest(connection, plan, reach).await?,
        };
        let whole = i64::try_from(near.len()).is_ok_and(|found| found < reach.patterns) && plan != Plan::Index
            || near.last().is_some_and(|(_, similarity)| *similarity < self.min_similarity);
        if plan == Plan::Index {
            near.extend(self.with_rare_words(connection, &frequencies).await?);
        }
        let query = Query::new(&self.embedding.features, &frequencies);
        let mut seen = HashSet::new();
        near.retain(|(pattern, similarity)| *similarity >= self.min_similarity && seen.insert(*pattern));
        let mut patterns = Vec::with_capacity(near.len());
        for part in near.chunks(FEATURES_AT_ONCE) {
            let ids: Vec<Uuid> = part.iter().map(|(id, _)| *id).collect();
            let features = self.known.get(connection, self.embedder, &ids).await?;
            let part =
                part.iter().filter_map(|(id, similarity)| self.pattern(*id, *similarity, features.get(id)?, &query));
            patterns.extend(part);
        }
        // Near-copies that differ by a name have the same score.
        patterns.sort_by(|a, b| {
            let nearer = || b.similarity.total_cmp(&a.similarity);
            b.score.total_cmp(&a.score).then_with(nearer).then_with(|| a.id.cmp(&b.id))
        });
        let (incidents, all) = self.incidents(connection, &patterns, reach).await?;
        Ok(Candidates { patterns, incidents, complete: whole && all, query })
    }

    fn pattern(&self, id: Uuid, similarity: f64, features: &PatternFeatures, query: &Query) -> Option<Pattern> {
        let likeness = query.compare(&features.profile);
        // Hashes of vectors may meet where words do not: what has nothing in common is not alike.
        if self.words.is_some() && likeness.share == 0.0 && self.min_similarity > 0.0 {
            return None;
        }
        // A model knows texts that have no word here, as in other scripts: these have their vectors alone.
        let compared = !features.profile.is_empty() && !query.is_empty();
        let score = if compared { score(&likeness, similarity, self.words.is_some()) } else { similarity };
        Some(Pattern { id, similarity, score })
    }

    /// How common the words of the query are.
    async fn frequencies(&self, connection: &mut Connection) -> Result<Frequencies, Error> {
        let terms: Vec<&str> = self.embedding.features.terms.iter().map(String::as_str).collect();
        let buckets: Vec<i32> = terms.iter().map(|term| Bucket::of(term).get()).collect();
        let statement = connection.prepare(include_str!("read_frequencies.sql")).await?;
        let rows = connection.client.query(&statement, &[&buckets, &self.embedder, &terms]).await?;
        let by_term: HashMap<String, i64> = rows.iter().map(|row| (row.get("term"), row.get("patterns"))).collect();
        Ok(Frequencies { patterns: self.patterns, by_term })
    }

    /// As [`Self::nearest`], in memory, where all patterns are held.
    async fn held_nearest(&self, connection: &mut Connection, plan: Plan, reach: Reach) -> Result<Option<Near>, Error> {
        let (Some(held), Some(words)) = (self.held, self.words) else { return Ok(None) };
        if plan == Plan::Index || !held.is_of(self.embedder) {
            return Ok(None);
        }
        let among = if plan == Plan::OfMatching { Some(self.matching(connection).await?) } else { None };
        let reads = Reads::prepare(connection).await?;
        if !held.catch_up(&reads, self.embedder).await? {
            return Ok(None);
        }
        let most = usize::try_from(reach.patterns).unwrap_or(usize::MAX);
        let asked = Asked { words, facets: self.facets, among, least: self.min_similarity, most };
        Ok(held.nearest(self.embedder, &asked))
    }

    /// The patterns of the incidents that fit.
    async fn matching(&self, connection: &mut Connection) -> Result<Vec<Uuid>, Error> {
        let mut values = vec![Value::Text(self.embedder)];
        let sql = format!("-- similarity.list_matching\n{}", self.select_matching(&mut values));
        let rows = Statement { sql, values }.query(connection).await?;
        Ok(rows.iter().map(|row| row.get("pattern")).collect())
    }

    fn select_matching<'v>(&'v self, values: &mut Vec<Value<'v>>) -> String {
        let clauses = conditions(self.filter, Source::Facts, values);
        let received = self.received(values).map(|bound| format!(" AND {bound}")).unwrap_or_default();
        format!(
            "SELECT DISTINCT i.pattern\nFROM incident_facts AS t\nJOIN incident_patterns AS i \
             ON i.bucket = t.bucket AND i.incident_id = t.incident_id AND i.embedder = $1{received}{}",
            where_all(&clauses)
        )
    }

    /// The patterns nearest to the vector, nearest first.
    async fn nearest(&self, connection: &mut Connection, plan: Plan, reach: Reach) -> Result<Near, Error> {
        // A number, not a parameter: for an unknown limit PostgreSQL would rather compare and sort everything.
        let limit = reach.patterns;
        let (table, vector) = match (self.words, plan) {
            (Some(words), Plan::Scan | Plan::OfMatching) => ("embedding_pattern_words", Value::Words(words)),
            _ => ("embedding_patterns", Value::Vector(self.vector)),
        };
        let mut values = vec![Value::Text(self.embedder), vector];
        let rows = match plan {
            Plan::Scan => {
                let mut facets = "";
                if self.words.is_some() && !self.facets.is_empty() {
                    values.push(Value::Bits(self.facets.bits()));
                    facets = " AND w.facets & $3 = $3";
                }
                // All rows are wanted, in the order of the table: no index would help.
                let sql = format!(
                    "-- similarity.scan_patterns\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
                     FROM {table} AS w\nWHERE (w.embedder = $1) IS TRUE{facets}\n\
                     ORDER BY similarity DESC, w.pattern\nLIMIT {limit}"
                );
                Statement { sql, values }.query(connection).await
            }
            Plan::OfMatching => {
                let matching = self.select_matching(&mut values);
                let sql = format!(
                    "-- similarity.scan_matching\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
                     FROM (\n{matching}\n) AS m\nCROSS JOIN LATERAL (\n    \
                     SELECT s.pattern, s.embedding FROM {table} AS s\n    \
                     WHERE s.embedder = $1 AND s.pattern = m.pattern\n    LIMIT 1\n) AS w\n\
                     ORDER BY similarity DESC, w.pattern\nLIMIT {limit}"
                );
                Statement { sql, values }.query(connection).await
            }
            Plan::Index => {
                let sql = format!(
                    "-- similarity.search_index\nSELECT w.pattern, 1 - (w.embedding <=> $2) AS similarity\n\
                     FROM {table} AS w\nWHERE w.embedder = $1\nORDER BY w.embedding <=> $2\nLIMIT {limit}"
                );
                let statement = Statement { sql, values };
                connection.in_transaction = true;
                let settings = include_str!("set_search.sql").replace("{ef_search}", &EF_SEARCH.to_string());
                connection.client.batch_execute(&format!("BEGIN; {settings}")).await?;
                let rows = statement.query(connection).await;
                connection.in_transaction = connection.client.batch_execute("COMMIT").await.is_err();
                rows
            }
        };
        Ok(rows?.iter().map(near).collect())
    }

    /// The patterns nearest to the vector by the words of one plan alone.
    pub async fn nearest_ids(
        &self,
        connection: &mut Connection,
        plan: Plan,
        reach: Reach,
    ) -> Result<HashSet<Uuid>, Error> {
        let near = self.nearest(connection, plan, reach).await?;
        Ok(near.into_iter().map(|(pattern, _)| pattern).collect())
    }

    /// Patterns that share a word which few have: the index may not come upon them.
    async fn with_rare_words(&self, connection: &mut Connection, known: &Frequencies) -> Result<Near, Error> {
        let is_rare = |term: &&str| known.by_term.get(*term).is_some_and(|count| *count <= RARE);
        let rare: Vec<&str> = self.embedding.features.terms.iter().map(String::as_str).filter(is_rare).collect();
        if rare.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "-- similarity.search_words\nSELECT p.pattern, 1 - (p.embedding <=> $2) AS similarity\n\
             FROM embedding_patterns AS p\nWHERE p.embedder = $1 AND p.terms && $3::text[]\n\
             ORDER BY similarity DESC, p.pattern\nLIMIT {WITH_RARE_WORDS}"
        );
        let values = vec![Value::Text(self.embedder), Value::Vector(self.vector), Value::Terms(rare)];
        Ok(Statement { sql, values }.query(connection).await?.iter().map(near).collect())
    }

    /// The incidents of the patterns that fit, and whether these are all.
    async fn incidents(
        &self,
        connection: &mut Connection,
        patterns: &[Pattern],
        reach: Reach,
    ) -> Result<(Vec<Candidate>, bool), Error> {
        let (mut found, mut seen, mut all) = (Vec::<Candidate>::new(), HashMap::<i64, usize>::new(), true);
        // A pattern may have many incidents or few that fit: at first as many are asked for as hold half of what is wanted, if all are
        // alike in that; then what came tells.
        let enough = reach.enough.unwrap_or(usize::MAX).min(MOST_CANDIDATES);
        let most_at_once = usize::try_from(MOST_ROWS / reach.incidents.max(1)).unwrap_or(0).clamp(1, MOST_AT_ONCE);
        let half =
            i64::try_from(enough).unwrap_or(i64::MAX).saturating_mul(self.patterns) / (2 * self.incidents).max(1);
        let half = usize::try_from(half).unwrap_or(usize::MAX).clamp(FIRST_AT_LEAST, FIRST_AT_MOST);
        let (mut begin, mut at_once) = (0, half.min(most_at_once));
        while begin < patterns.len() {
            if found.len() >= enough {
                return Ok((found, false));
            }
            let part = &patterns[begin..patterns.len().min(begin + at_once)];
            let rows = self.incidents_of(part, reach).query(connection).await?;
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
                        found.push(Candidate { id, action_timestamp, pattern: begin + place, similarity });
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

    fn incidents_of<'a>(&'a self, patterns: &[Pattern], reach: Reach) -> Statement<'a> {
        let ids = patterns.iter().map(|pattern| pattern.id).collect();
        let mut values = vec![Value::Text(self.embedder), Value::Patterns(ids), Value::Number(reach.incidents)];
        let clauses = conditions(self.filter, Source::Facts, &mut values);
        let mut bounds = times("i", self.filter, &mut values);
        bounds.extend(self.received(&mut values));
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
        let sql = format!(
            "-- similarity.list_incidents\nSELECT u.place, n.incident_id, n.action_timestamp\n\
             FROM unnest($2::uuid[]) WITH ORDINALITY AS u (pattern, place)\nCROSS JOIN LATERAL (\n    \
             SELECT i.incident_id, i.action_timestamp\n    FROM incident_patterns AS i\n    \
             WHERE i.embedder = $1 AND i.pattern = u.pattern{bounds}{facts}\n    \
             ORDER BY i.action_timestamp DESC, i.incident_id DESC\n    LIMIT $3\n) AS n\n\
             ORDER BY u.place, n.action_timestamp DESC, n.incident_id DESC"
        );
        Statement { sql, values }
    }

    fn received<'v>(&self, values: &mut Vec<Value<'v>>) -> Option<String> {
        values.push(Value::Time(self.as_of?));
        Some(format!("i.first_received_at <= ${}", values.len()))
    }
}

/// Patterns and their similarities.
type Near = Vec<(Uuid, f64)>;

fn near(row: &Row) -> (Uuid, f64) {
    (row.get("pattern"), row.get::<_, f64>("similarity").clamp(0.0, 1.0))
}

/// Patterns whose incidents are asked for at once: at first, at least and at most, and then.
const FIRST_AT_LEAST: usize = 2;
const FIRST_AT_MOST: usize = 16;
const MOST_AT_ONCE: usize = 64;
/// Rows that are asked for at once, and incidents that are kept of all: a search has a bound on its memory.
const MOST_ROWS: i64 = 40_000;
const MOST_CANDIDATES: usize = 100_000;
/// Patterns whose features are held at once.
const FEATURES_AT_ONCE: usize = 2_000;
