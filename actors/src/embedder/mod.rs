//! The embedder turns texts into vectors, on threads of its own.

mod builtin;
mod concepts;
mod embed;
mod embed_query;
mod engine;
mod feature;
mod first;
mod http;
#[cfg(feature = "minilm")]
mod minilm;
mod settings;
mod spaces;
mod text;
mod vocabulary;

pub use crate::error::EngineFault;
pub use builtin::{
    AddedTerm, Builtin, ID as BUILTIN_ID, QueryWords, is_code, is_plain, place, split_known, split_words, turned,
};
pub use concepts::is_concept;
pub use embed::Embed;
pub use embed_query::{EmbedQuery, EmbeddedQuery};
pub use feature::{ByFeature, hash_feature};
pub use first::ID as FIRST_ID;
pub use http::HttpSettings;
pub use settings::EngineSettings;
pub use spaces::Spaces;
pub use vocabulary::{Meaning, PackedMeaning, SIGNS, SpreadMeaning, is_known, rarity};

use crate::domain::audit_text::AuditText;
use crate::handle::common_handlers;
use crate::metrics::Metrics;
use crate::supervise::Alive;
use actix::prelude::*;
use engine::Engine;

use moka::sync::Cache;
use settings::HTTP;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use text::split_camel_case;
use uuid::Uuid;

/// How many numbers a vector has.
pub const VECTOR_LENGTH: usize = 768;

/// A vector of length 1, the features of the text, and the pattern that all texts with these features share.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    pub vector: Vec<f32>,
    pub features: Features,
    pub pattern: Uuid,
}

/// Words and concepts with their weights in a comparison, sorted by word. A word that appears once in a field of the
/// usual length weighs 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    pub terms: Vec<String>,
    pub weights: Vec<f32>,
}

impl Features {
    pub fn iter(&self) -> impl Iterator<Item = (&str, f32)> {
        self.terms.iter().map(String::as_str).zip(self.weights.iter().copied())
    }

    /// The weight of a term that is there.
    pub fn weight(&self, term: &str) -> Option<f32> {
        let at = self.terms.binary_search_by(|known| known.as_str().cmp(term)).ok()?;
        self.weights.get(at).copied()
    }

    /// The hash of each feature ([`hash_feature`]) with its weight.
    pub fn hashed(&self) -> impl Iterator<Item = (u64, f32)> {
        self.iter().map(|(term, weight)| (hash_feature(term), weight))
    }
}

/// What is known of an embedder without asking it. Vectors of two spaces are never compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// Name and version.
    pub id: String,
    /// The least similarity of a hit, as measured (docs/recall.md).
    pub min_similarity: f64,
    /// Whether most numbers of a vector are zero.
    pub sparse: bool,
}

impl Space {
    pub fn builtin() -> Self {
        Space { id: BUILTIN_ID.to_owned(), min_similarity: 0.05, sparse: true }
    }

    /// The space with this id, if the service can make its vectors while `self` is configured: the built-in space, or
    /// the space of another model of the same endpoint.
    fn beside(&self, id: &str) -> Option<Space> {
        match id {
            BUILTIN_ID => Some(Space::builtin()),
            FIRST_ID => Some(Space { id: FIRST_ID.to_owned(), ..Space::builtin() }),
            id if id.starts_with(HTTP) && self.id.starts_with(HTTP) => {
                Some(Space { id: id.to_owned(), ..self.clone() })
            }
            _ => None,
        }
    }
}

/// Most texts whose vectors the cache keeps. A vector takes 3 KiB.
const CACHED: u64 = 1024;

type CacheKey = [u8; 32];

pub struct EmbedderActor {
    builtin: Builtin,
    settings: Option<EngineSettings>,
    /// The engines that were needed so far, by the ids of their spaces.
    engines: HashMap<String, Box<dyn Engine>>,
    /// An entry is `None` if its text has no feature.
    cache: Cache<CacheKey, Option<Arc<Embedding>>>,
    metrics: Metrics,
    _alive: Arc<Alive>,
}

impl EmbedderActor {
    /// The built-in embedder is always there. `engine` is the other one, if another one is configured.
    pub fn new(engine: Option<EngineSettings>, metrics: Metrics, alive: Arc<Alive>) -> Self {
        let (builtin, cache) = (Builtin::default(), Cache::new(CACHED));
        EmbedderActor { builtin, settings: engine, engines: HashMap::new(), cache, metrics, _alive: alive }
    }
}

fn cache_key(space: &str, text: &AuditText) -> CacheKey {
    let mut hash = Sha256::new();
    hash.update(space);
    hash.update([0]);
    for part in text.parts() {
        hash.update((part.len() as u64).to_be_bytes()); // usize fits into 64 bits
        hash.update(part);
    }
    hash.finalize().into()
}

impl Actor for EmbedderActor {
    type Context = SyncContext<Self>;
}

common_handlers!(EmbedderActor);
