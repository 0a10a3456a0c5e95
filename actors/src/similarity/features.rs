//! What patterns say, kept: a pattern never changes.

use super::plan::LIMIT;
use super::score::Profile;
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::domain::bucket::Bucket;
use crate::embedder::hash_feature;
use moka::sync::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// What a pattern says.
pub(super) struct PatternFeatures {
    /// With spaces between: most of the memory that words take is what each costs by itself.
    terms: Box<str>,
    pub profile: Profile,
}

impl PatternFeatures {
    fn new(terms: String, weights: Vec<f32>) -> Self {
        let profile = Profile::new(terms.split(' ').map(hash_feature).zip(weights));
        PatternFeatures { terms: terms.into(), profile }
    }

    /// Its words and their weights.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f32)> {
        self.terms.split(' ').zip(self.profile.weights().iter().copied())
    }

    fn bytes(&self) -> usize {
        self.terms.len() + self.profile.size() + 200 // the entry itself
    }
}

/// Memory for what was read, in bytes: some 32,000 patterns of sixty words.
const MOST: u64 = 64 << 20;

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
    ) -> Result<HashMap<Uuid, Arc<PatternFeatures>>, DatabaseError> {
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
        for (pattern, read) in read_features(connection, embedder, &unknown).await? {
            let read = Arc::new(read);
            self.0.insert((name.clone(), pattern), read.clone());
            features.insert(pattern, read);
        }
        Ok(features)
    }
}

/// Reads what these patterns say, those of them that are there.
pub(super) async fn read_features(
    connection: &mut Connection,
    embedder: &str,
    patterns: &[Uuid],
) -> Result<impl Iterator<Item = (Uuid, PatternFeatures)> + use<>, DatabaseError> {
    let buckets: Vec<i32> = patterns.iter().map(|pattern| Bucket::of_pattern(*pattern).get()).collect();
    let read = connection.autocommit("similarity.read_features", LIMIT, async |tx| {
        let statement = tx.prepare(include_str!("read_features.sql")).await?;
        tx.client().query(&statement, &[&embedder, &patterns, &buckets]).await
    });
    let rows = read.await?.into_iter();
    Ok(rows.map(|row| (row.get("pattern"), PatternFeatures::new(row.get("terms"), row.get("weights")))))
}
