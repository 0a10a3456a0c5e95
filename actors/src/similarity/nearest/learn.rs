//! Learns what held patterns mean, beside the searches: it follows from what they say, which takes longer to read than their vectors.

use super::super::features::read_features;
use super::held::HeldPatterns;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::embedder::{Meaning, PackedMeaning};
use std::collections::HashMap;
use uuid::Uuid;

/// Patterns that are read at once: searches wait while their words are looked up, some milliseconds.
const AT_ONCE: usize = 500;

/// Learns what those patterns mean of which it is not known, all of them.
pub(super) async fn learn(pool: &Pool, patterns: &HeldPatterns, embedder: &str) -> Result<(), DatabaseError> {
    let Ok(_learning) = patterns.learning.try_lock() else { return Ok(()) };
    loop {
        let ids = patterns.of(embedder, |held| held.unknown(AT_ONCE)).unwrap_or_default();
        if ids.is_empty() {
            return Ok(());
        }
        let mut connection = pool.get().await?;
        let read = read_features(&mut connection, embedder, &ids).await?;
        let known: HashMap<Uuid, PackedMeaning> =
            read.filter_map(|(id, features)| Some((id, features.profile.meaning().map(Meaning::packed)?))).collect();
        // What is gone from the store, or has no word that is known, means nothing.
        let meanings = ids.iter().map(|id| known.get(id).copied().unwrap_or_default()).collect();
        patterns.of(embedder, |held| held.learn(&ids, meanings));
    }
}
