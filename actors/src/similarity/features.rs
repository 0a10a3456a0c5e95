//! What patterns say, kept: a pattern never changes.

use crate::db::pool::Connection;
use crate::embedder::hash_feature;
use moka::sync::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::Error;
use uuid::Uuid;

/// Words and weights of a pattern.
pub(super) struct PatternFeatures {
    /// With spaces between: most of the memory that words take is what each costs by itself.
    terms: Box<str>,
    /// What they are compared by.
    hashes: Box<[u64]>,
    weights: Box<[f32]>,
}

impl PatternFeatures {
    fn new(terms: String, weights: Vec<f32>) -> Self {
        let hashes = terms.split(' ').map(hash_feature).collect();
        PatternFeatures { terms: terms.into(), hashes, weights: weights.into() }
    }

    pub fn hashed(&self) -> impl Iterator<Item = (u64, f32)> {
        self.hashes.iter().copied().zip(self.weights.iter().copied())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, f32)> {
        self.terms.split(' ').zip(self.weights.iter().copied())
    }

    /// It is from before they were kept, or has none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    fn bytes(&self) -> usize {
        self.terms.len() + 12 * self.weights.len() + 200 // the entry itself
    }
}

/// Memory for what was read, in bytes.
const MOST: u64 = 16 << 20;

/// The patterns that were read last, by embedder and pattern.
pub(super) struct KnownFeatures(Cache<(Arc<str>, Uuid), Arc<PatternFeatures>>);

impl Default for KnownFeatures {
    fn default() -> Self {
        let weigh =
            |_: &(Arc<str>, Uuid), features: &Arc<PatternFeatures>| u32::try_from(features.bytes()).unwrap_or(u32::MAX);
        KnownFeatures(Cache::builder().weigher(weigh).max_capacity(MOST).build())
    }
}

impl KnownFeatures {
    /// What these patterns say.
    pub async fn get(
        &self,
        connection: &mut Connection,
        embedder: &str,
        patterns: &[Uuid],
    ) -> Result<HashMap<Uuid, Arc<PatternFeatures>>, Error> {
        let name: Arc<str> = embedder.into();
        let mut features = HashMap::with_capacity(patterns.len());
        let mut unknown = Vec::new();
        for pattern in patterns {
            match self.0.get(&(name.clone(), *pattern)) {
                Some(known) => _ = features.insert(*pattern, known),
                None => unknown.push(*pattern),
            }
        }
        if unknown.is_empty() {
            return Ok(features);
        }
        let statement = connection.prepare(include_str!("read_features.sql")).await?;
        for row in connection.client.query(&statement, &[&embedder, &unknown]).await? {
            let pattern: Uuid = row.get("pattern");
            let read = Arc::new(PatternFeatures::new(row.get("terms"), row.get("weights")));
            self.0.insert((name.clone(), pattern), read.clone());
            features.insert(pattern, read);
        }
        Ok(features)
    }
}
