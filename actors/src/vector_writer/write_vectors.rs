//! One transaction of the vector store.

use super::add_facets::add_facets;
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::db::template::sql;
use crate::db::transaction::{Share, Transaction};
use crate::domain::audit_id::AuditId;
use crate::domain::bucket::Bucket;
use crate::domain::copied_facts::CopiedFacts;
use crate::domain::facts::copied;
use crate::embedder::{Embedding, Space};
use chrono::{DateTime, Utc};
use futures_util::join;
use pgvector::{SparseVector, Vector};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The vector of one audit.
pub struct AuditVector<'a> {
    pub id: AuditId,
    pub remediation_request_id: &'a str,
    pub received_at: DateTime<Utc>,
    pub embedding: Arc<Embedding>,
}

/// What is written together.
pub struct Batch<'a> {
    /// The embedder that made the vectors.
    pub space: &'a Space,
    pub vectors: Vec<AuditVector<'a>>,
    /// Of the incidents that the audits belong to, those without a vector too.
    pub facts: &'a [CopiedFacts],
    pub now: DateTime<Utc>,
}

/// How long it may take: a batch that takes longer is written in halves.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait while patterns that no incident has are deleted.
const PATIENCE: Duration = Duration::from_secs(5);

impl Batch<'_> {
    /// Writes it; vectors that are there stay as they are.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn write(&self, pool: &Pool) -> Result<(), DatabaseError> {
        let mut connection = pool.get().await?;
        connection.transaction("vector_writer.write_vectors", LIMIT, async |tx| self.write_all(tx).await).await
    }

    async fn write_all(&self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        let write_vectors = tx.prepare(include_str!("write_vectors.sql")).await?;
        let write_facts = tx.prepare(sql!("write_facts.sql")).await?;
        let write_incident_patterns = tx.prepare(include_str!("write_incident_patterns.sql")).await?;
        self.patterns(tx).await?;
        let vectors = self.vector_columns();
        let facts = FactColumns::of(self.facts);
        let incidents = self.incident_columns();
        let client = tx.client();
        let embedder = self.space.id.as_str();
        let (vectors, facts, incidents) =
            (vectors.params(&embedder, &self.now), facts.params(), incidents.params(&embedder));
        let (vectors, facts, incidents) = join!(
            client.execute(&write_vectors, &vectors),
            client.execute(&write_facts, &facts),
            client.execute(&write_incident_patterns, &incidents),
        );
        vectors?;
        facts?;
        incidents?;
        let (buckets, incidents): (Vec<i32>, Vec<i64>) =
            self.facts.iter().map(|facts| (facts.bucket, facts.incident_id)).unzip();
        add_facets(tx, &buckets, &incidents).await
    }

    /// Writes the patterns, and counts the features of those that are new.
    async fn patterns(&self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        let write_patterns = tx.prepare(include_str!("write_patterns.sql")).await?;
        let count_terms = tx.prepare(include_str!("count_terms.sql")).await?;
        let embedder = self.space.id.as_str();
        let patterns: BTreeMap<(i32, Uuid), &Embedding> = self
            .vectors
            .iter()
            .map(|vector| {
                ((Bucket::of_pattern(vector.embedding.pattern).get(), vector.embedding.pattern), &*vector.embedding)
            })
            .collect();
        let buckets: Vec<i32> = patterns.keys().map(|key| key.0).collect();
        let ids: Vec<Uuid> = patterns.keys().map(|key| key.1).collect();
        let embeddings: Vec<Vector> = patterns.values().map(|e| Vector::from(e.vector.clone())).collect();
        // Words have no spaces, and numbers neither: an array of arrays would have to be a rectangle.
        let terms: Vec<String> = patterns.values().map(|e| e.features.terms.join(" ")).collect();
        let weights = |e: &&Embedding| e.features.weights.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let weights: Vec<String> = patterns.values().map(weights).collect();
        let params: [&(dyn ToSql + Sync); 7] = [&buckets, &embedder, &ids, &embeddings, &self.now, &terms, &weights];
        let client = tx.client();
        let (locked, new) =
            join!(tx.lock(Lock::Patterns, Share::Shared, PATIENCE), client.query(&write_patterns, &params));
        locked?;
        let new: HashSet<Uuid> = new?.iter().map(|row| row.get("pattern")).collect();
        if new.is_empty() {
            return Ok(());
        }
        if self.space.sparse {
            let words = tx.prepare(include_str!("write_pattern_words.sql")).await?;
            let rows = || patterns.iter().filter(|(key, _)| new.contains(&key.1));
            let buckets: Vec<i32> = rows().map(|(key, _)| key.0).collect();
            let ids: Vec<Uuid> = rows().map(|(key, _)| key.1).collect();
            let vectors: Vec<SparseVector> = rows().map(|(_, e)| SparseVector::from_dense(&e.vector)).collect();
            client.execute(&words, &[&buckets, &embedder, &ids, &vectors]).await?;
        }
        let mut counts: BTreeMap<(i32, &str), i64> = BTreeMap::new();
        for embedding in patterns.values().filter(|embedding| new.contains(&embedding.pattern)) {
            for term in embedding.features.terms.iter().map(String::as_str).chain([""]) {
                *counts.entry((Bucket::of(term).get(), term)).or_default() += 1;
            }
        }
        let buckets: Vec<i32> = counts.keys().map(|key| key.0).collect();
        let terms: Vec<&str> = counts.keys().map(|key| key.1).collect();
        let counts: Vec<i64> = counts.into_values().collect();
        client.execute(&count_terms, &[&buckets, &embedder, &terms, &counts]).await?;
        Ok(())
    }

    fn vector_columns(&self) -> VectorColumns {
        VectorColumns {
            buckets: self.vectors.iter().map(|vector| vector.id.bucket().get()).collect(),
            ids: self.vectors.iter().map(|vector| vector.id.to_string()).collect(),
            patterns: self.vectors.iter().map(|vector| vector.embedding.pattern).collect(),
            embeddings: self.vectors.iter().map(|vector| Vector::from(vector.embedding.vector.clone())).collect(),
        }
    }

    /// Each pattern of each incident once, with the time of its first audit.
    fn incident_columns(&self) -> IncidentColumns {
        let incidents: HashMap<&str, &CopiedFacts> =
            self.facts.iter().map(|facts| (facts.correlation_id.as_str(), facts)).collect();
        let mut rows: BTreeMap<PatternOfIncident, Times> = BTreeMap::new();
        for vector in &self.vectors {
            if let Some(facts) = incidents.get(vector.remediation_request_id) {
                let key = (facts.bucket, facts.incident_id, vector.embedding.pattern);
                let row = rows.entry(key).or_insert((facts.action_timestamp, vector.received_at));
                row.1 = row.1.min(vector.received_at);
            }
        }
        IncidentColumns {
            buckets: rows.keys().map(|key| key.0).collect(),
            incidents: rows.keys().map(|key| key.1).collect(),
            patterns: rows.keys().map(|key| key.2).collect(),
            times: rows.values().map(|row| row.0).collect(),
            received: rows.values().map(|row| row.1).collect(),
        }
    }
}

/// Bucket and id of an incident, and a pattern of it.
type PatternOfIncident = (i32, i64, Uuid);
/// When the incident began, and when the first audit with the pattern was received.
type Times = (DateTime<Utc>, DateTime<Utc>);

struct VectorColumns {
    buckets: Vec<i32>,
    ids: Vec<String>,
    patterns: Vec<Uuid>,
    embeddings: Vec<Vector>,
}

impl VectorColumns {
    fn params<'a>(&'a self, embedder: &'a &str, now: &'a DateTime<Utc>) -> [&'a (dyn ToSql + Sync); 6] {
        [&self.buckets, &self.ids, embedder, &self.patterns, &self.embeddings, now]
    }
}

struct IncidentColumns {
    buckets: Vec<i32>,
    incidents: Vec<i64>,
    patterns: Vec<Uuid>,
    times: Vec<DateTime<Utc>>,
    received: Vec<DateTime<Utc>>,
}

impl IncidentColumns {
    fn params<'a>(&'a self, embedder: &'a &str) -> [&'a (dyn ToSql + Sync); 6] {
        [&self.buckets, &self.incidents, embedder, &self.patterns, &self.times, &self.received]
    }
}

struct FactColumns<'a> {
    buckets: Vec<i32>,
    incidents: Vec<i64>,
    requests: Vec<&'a str>,
    times: Vec<DateTime<Utc>>,
    revisions: Vec<i64>,
    /// A column for each copied fact.
    values: Vec<Vec<Option<&'a str>>>,
}

impl<'a> FactColumns<'a> {
    fn of(facts: &'a [CopiedFacts]) -> Self {
        let column = |at: usize| facts.iter().map(|facts| facts.values.get(at)?.as_deref()).collect();
        FactColumns {
            buckets: facts.iter().map(|facts| facts.bucket).collect(),
            incidents: facts.iter().map(|facts| facts.incident_id).collect(),
            requests: facts.iter().map(|facts| facts.correlation_id.as_str()).collect(),
            times: facts.iter().map(|facts| facts.action_timestamp).collect(),
            revisions: facts.iter().map(|facts| facts.revision).collect(),
            values: (0..copied().count()).map(column).collect(),
        }
    }

    /// For `write_facts.sql`.
    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> =
            vec![&self.buckets, &self.incidents, &self.requests, &self.times, &self.revisions];
        params.extend(self.values.iter().map(|column| column as &(dyn ToSql + Sync)));
        params
    }
}
